"""Words for the base's training text: syllables, names that nobody has, values, and particles that fit them."""

# ruff: noqa: E501, SIM905  -- word lists are easier to read and to extend as long lines of plain words

from __future__ import annotations

import random

_SURNAMES = "김이박최정강조윤장임한오서신권황안송류홍"
_DIGIT_HAS_FINAL = {d: d not in "2459" for d in "0123456789"}
_LATIN_WITH_FINAL = frozenset("bcklmnpqt")

COMMON_SYLLABLES = (
    "가각간갈감갑강개객거건걸검겁게격견결경계고곡곤골공과관광교구국군굴궁권귀규균그극근글금급기길김나난날남내너넉널네"
    "녀년노녹논놀농누눈느늘니다단달담당대더덕덜도독돈돌동두둘드득들등디따땅때떡또라락란람랑래량러럭런레려력련령로록론"
    "료루류륙르른를름릉리린림립마막만말망매맥머먹먼멀메며면명모목몰못무문물미민밀바박반발밤방배백버번벌범법베벽변별병보"
    "복본봄봉부북분불붕비빈빛빵사산살삼상새색생서석선설섬성세소속손솔송쇠수숙순술숨숲쉬스슬습승시식신실심싸쌀써쏘쑥씨아안"
    "알암압앙애야약양어억언얼엄업에여역연열염엽영예오옥온올옷와완왕외요용우욱운울움웅원월위유육윤율으은을음의이익인일임입"
    "자작잔잘잠장재저적전절점정제조족존종좌주죽준줄중즈증지직진질집차착찬참창채책처척천철청체초촌총최추축춘출충치칠침카칸"
    "커코콩크큰키타탁탄탐태터털테토통투트특티파판팔패퍼페편평포폭표푸품풍프피필하학한할함합항해행향허험혁현혈협형혜호홀홍"
    "화확환활황회획효후훈휴흐흑흥희히힘"
)

NOUNS = (
    "바다 하늘 구름 나무 강물 언덕 마을 햇살 달빛 별빛 이슬 호수 들판 도토리 다람쥐 고래 거북 사슴 토끼 기차 "
    "우산 연필 공책 가방 지도 나침반 등대 돛단배 풍선 종이 모래 조개 노을 새벽 아침 저녁 여름 겨울 봄날 가을 "
    "은하 무지개 단풍 솔잎 버들 매화 국화 장미 민들레 코스모스 해바라기 참새 제비 두루미 나팔 피리 북소리 그네 연못 "
    "돌담 골목 광장 정원 텃밭 씨앗 열매 꽃잎 사과 포도 감자 보리 옥수수 호박 수박 딸기 모과 밤톨 앵두 자두"
).split()

DISHES = (
    "떡볶이 김밥 라면 우동 돈까스 비빔밥 볶음밥 김치찌개 된장찌개 순두부찌개 칼국수 수제비 만두 짜장면 짬뽕 탕수육 "
    "햄버거 피자 샌드위치 토스트 핫도그 치킨 카레 오므라이스 제육덮밥 불고기 갈비탕 설렁탕 삼계탕 냉면 쌀국수 파스타 "
    "주먹밥 도시락 유부초밥 초밥 순대 어묵 튀김 죽 잔치국수 콩국수 쫄면 떡국 미역국 와플 붕어빵 호떡 식혜 수정과 "
    "우유 주스 아이스크림 빙수 케이크 쿠키 샐러드 과일컵 요거트 스프 그라탕 리조또 덮밥 국밥 육개장 닭강정 감자튀김"
).split()

THINGS = (
    "책 공 의자 책상 시계 모자 신발 장갑 컵 접시 숟가락 수건 베개 이불 창문 문 열쇠 거울 칫솔 비누 휴지 그릇 냄비 "
    "자전거 인형 블록 물감 색연필 가위 풀 자 지우개 필통 물통 도시락 우산 장화 목도리 안경 사진 편지 봉투 상자"
).split()

EMOJI = (
    "😀 😃 😄 😁 😆 😅 😂 🤣 🙂 🙃 😉 😊 😇 🥰 😍 🤩 😘 😋 😛 😜 🤪 🤗 🤭 🤔 😐 😮 😲 🥺 😢 😭 😤 😡 😱 😴 🥱 😎 🤓 🥳 😌 😔 "
    "🙏 👍 👎 👏 🙌 👋 🤝 💪 ✌️ 👌 🤙 ☝️ 👆 👇 👉 👈 ✋ 🤚 ❤️ 🧡 💛 💚 💙 💜 🤍 🖤 💕 💖 💗 💝 💯 💢 💦 ✨ ⭐ 🌟 💫 🔥 🎉 🎊 🎈 🎁 "
    "🍚 🍙 🍘 🍜 🍝 🍛 🍣 🍱 🥟 🍤 🍗 🍖 🍔 🍟 🍕 🌭 🥪 🌮 🥗 🍲 🥘 🍳 🥚 🧀 🥓 🍞 🥐 🥖 🥞 🧇 🍰 🎂 🧁 🍩 🍪 🍫 🍬 🍭 🍮 🍦 🍧 🍨 🥛 🧃 🥤 ☕ 🍵 🧋 "
    "🍎 🍏 🍐 🍊 🍋 🍌 🍉 🍇 🍓 🫐 🍒 🍑 🥭 🍍 🥝 🍅 🥕 🌽 🌶️ 🥔 🍠 🥜 🌰 🐟 🐙 🦐 🦑 🐔 🐷 🐮 🐶 🐱 🐰 🐻 🐼 🐯 🦁 🐸 🐵 🐥 🐣 🦋 🐝 🐞 🐳 🐬 🦊 🐹 "
    "🌸 🌷 🌹 🌻 🌼 🍀 🌿 🌱 🍁 🍂 🌈 ☀️ 🌤️ ⛅ ☁️ 🌧️ ⛄ ❄️ ☔ 🌙 🌞 🏠 🏫 🏥 🏪 🚌 🚇 🚗 🚲 🛵 📍 📌 📅 📝 📚 📖 ✏️ 💡 🔍 📢 🔔 ⏰ ⏱️ 💰 💳 🎵 🎶 "
    "⚽ 🏀 🎮 🎨 🏆 🥇 ✅ ❌ ❗ ❓ ⚠️ 🚫 ➡️ 👶 🧒 👦 👧 👩 👨 👵 👴 🧑‍🍳 🙋 🙆 🙅 🤷 💬 😺 😸 🍽️ 🥄 🥢 🛒 🎫 🎟️ 🤖"
).split()

_SHOP_ENDINGS = "분식 식당 김밥집 국수집 빵집 카페 반점 밥상 도시락 주방 치킨 면옥 다방 부엌 마트 식탁".split()
_TOOL_STARTS = "no vi ta so ke lu mi pa re do fa zi qu be ho ny co ge xa wi".split()
_TOOL_ENDS = "ly ta ro fy do ma ix on ra pad box hub note desk flow lab kit map mind cast".split()


def _ks_x_1001() -> str:
    cells = (bytes((row, cell)) for row in range(0xB0, 0xC9) for cell in range(0xA1, 0xFF))
    return "".join(cell.decode("euc-kr") for cell in cells)


SYLLABLES = _ks_x_1001()
"""The 2,350 common Hangul syllables of KS X 1001, in its order."""

EXTRA_SYLLABLES = "똠펲뷁햏뢔뚸쏼챱햐뵤췟뱡쁑샾쥴쨤퀭쪙먗꺠"
"""Syllables outside KS X 1001 that people still type."""

JAMO = "".join(chr(code) for code in range(0x3131, 0x3164))
"""Single consonants and vowels as in ㅋㅋ and ㅠㅠ."""

SYMBOLS = "…·“”‘’「」『』《》〈〉【】★☆♥♡♪♬→←↑↓⇒※○●◎◇◆□■△▲▽▼①②③④⑤⑥⑦⑧⑨⑩℃㎡㎝㎏×÷±°～–—−₩€％，．！？：；（）＋"


class Dice(random.Random):
    """Random choices, and the words that a made-up name may hold.

    A word that the tokenizer knows as one token is copied right only if names held it in training, so the words of
    the vocabulary are drawn into names (`pieces`) once there is a tokenizer.
    """

    pieces: tuple[str, ...] = tuple(NOUNS)


class Word(str):
    """A word that takes its particle in a template: `"{shop:은}".format(shop=Word("달빛"))` is 달빛은."""

    def __format__(self, particle: str) -> str:
        return str(self) + particle_for(self, particle) if particle else str(self)


_PAIRS = {
    "은": ("은", "는"),
    "이": ("이", "가"),
    "을": ("을", "를"),
    "과": ("과", "와"),
    "이나": ("이나", "나"),
    "이라": ("이라", "라"),
    "이랑": ("이랑", "랑"),
    "이고": ("이고", "고"),
    "이에요": ("이에요", "예요"),
    "이야": ("이야", "야"),
    "이네요": ("이네요", "네요"),
    "이며": ("이며", "며"),
}


def final_consonant(word: str) -> str:
    """How the word's last spoken sound ends: "ㄹ", "other" for any other final consonant, "" for a vowel.

    Brackets and signs at the end are skipped; digits end as they are read in Korean, Latin letters roughly as spoken.
    """
    for char in reversed(word):
        if "가" <= char <= "힣":
            index = (ord(char) - 0xAC00) % 28
            return {0: "", 8: "ㄹ"}.get(index, "other")
        if char in _DIGIT_HAS_FINAL:
            return "ㄹ" if char in "178" else ("other" if _DIGIT_HAS_FINAL[char] else "")
        if char.isascii() and char.isalpha():
            return ("ㄹ" if char in "lL" else "other") if char.lower() in _LATIN_WITH_FINAL else ""
    return ""


def particle_for(word: str, particle: str) -> str:
    """The form of a particle (named by its form after a consonant: 은, 이, 을, 으로, …) that fits the word."""
    final = final_consonant(word)
    if particle == "으로":
        return "으로" if final == "other" else "로"
    after_consonant, after_vowel = _PAIRS[particle]
    return after_consonant if final else after_vowel


def stem(rng: Dice) -> str:
    """A made-up word of 2–9 syllables; at least one syllable comes from all 2,350, so real shops don't turn up."""
    draw = rng.random()
    if draw < 0.25:
        parts = [rng.choice(NOUNS), *rng.choices(SYLLABLES, k=rng.randint(1, 2))]
    elif draw < 0.6:
        parts = [*rng.choices(rng.pieces, k=rng.choice((1, 1, 2))), rng.choice(SYLLABLES)]
        parts += rng.choices(COMMON_SYLLABLES, k=rng.choice((0, 0, 1)))
    elif draw < 0.85:
        parts = [*rng.choices(COMMON_SYLLABLES, k=rng.randint(1, 3)), rng.choice(SYLLABLES)]
    else:
        parts = rng.choices(SYLLABLES, k=rng.randint(2, 4))
    if rng.random() < 0.1:
        parts.append(rng.choice(parts))  # 가나가: what stands before a syllable does not always tell what comes after
    rng.shuffle(parts)
    return "".join(parts)


def shop(rng: Dice) -> str:
    """A shop that does not exist."""
    name = stem(rng)
    if rng.random() < 0.7:
        gap = " " if rng.random() < 0.2 else ""
        name = f"{name}{gap}{rng.choice(_SHOP_ENDINGS)}"
    if rng.random() < 0.1:
        name = f"{name} {stem(rng)[:2]}점"
    return name


def dish(rng: Dice) -> str:
    """A dish: a usual one, or one with a made-up word in front."""
    draw = rng.random()
    if draw < 0.35:
        return rng.choice(DISHES)
    if draw < 0.7:
        return f"{stem(rng)}{' ' if rng.random() < 0.4 else ''}{rng.choice(DISHES)}"
    return stem(rng)


def title(rng: Dice) -> str:
    """A title of one or two made-up words."""
    return stem(rng) if rng.random() < 0.5 else f"{stem(rng)} {rng.choice(NOUNS)}"


def person(rng: Dice) -> str:
    """A surname and two syllables."""
    return rng.choice(_SURNAMES) + "".join(rng.choices(COMMON_SYLLABLES, k=2))


def tool(rng: Dice) -> str:
    """A name such as websites have, in Latin letters or in Hangul."""
    if rng.random() < 0.4:
        return stem(rng)
    name = rng.choice(_TOOL_STARTS) + rng.choice(_TOOL_STARTS) * rng.randint(0, 1) + rng.choice(_TOOL_ENDS)
    return name.capitalize()


def price(rng: Dice) -> str:
    """A price such as 4,500원."""
    return f"{rng.randint(5, 300) * rng.choice((50, 100, 100, 100)):,}원"


def clock(rng: Dice) -> str:
    """A time of day on the half hour or ten minutes."""
    return f"{rng.randint(6, 23):02d}:{rng.choice((0, 0, 30, 10, 20, 40, 50)):02d}"


def hours(rng: Dice) -> str:
    """Opening hours such as 10:00~21:00."""
    return (
        f"{rng.randint(5, 12):02d}:{rng.choice((0, 0, 30)):02d}~{rng.randint(14, 24):02d}:{rng.choice((0, 0, 30)):02d}"
    )


def date(rng: Dice) -> str:
    """A day of the year such as 3월 14일."""
    return f"{rng.randint(1, 12)}월 {rng.randint(1, 28)}일"


def place(rng: Dice) -> str:
    """Where something is: a district, a storey, a landmark."""
    return rng.choice(
        (
            f"{stem(rng)}동",
            f"{stem(rng)[:3]}역 {rng.randint(1, 12)}번 출구",
            f"{stem(rng)[:3]}로 {rng.randint(1, 199)}",
            f"{rng.randint(1, 9)}층 {stem(rng)}실",
            f"본관 {rng.randint(1, 9)}층",
            f"{stem(rng)} 앞",
        )
    )


def yes_no(rng: Dice) -> str:
    """예 or 아니오."""
    return rng.choice(("예", "아니오"))
