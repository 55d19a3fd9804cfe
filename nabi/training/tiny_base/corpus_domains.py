"""What the base's training text is about: domains, their labels, and how people ask for each label."""

# ruff: noqa: E501, SIM905  -- tables of questions read best with one label a line

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nabi.training.tiny_base import corpus_words as words
from nabi.training.tiny_base.corpus_words import Dice

Make = Callable[[Dice], str]


@dataclass(frozen=True)
class Label:
    """One column of a fact: how its values are made, what sort they are, and own ways to ask for it."""

    name: str
    make: Make
    sort: str = "plain"
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """A kind of place or data.

    Attributes:
        noun: what one item is called in a question.
        heads: labels that name an item; the first is always there.
        labels: the other labels.
        wants: openers that ask for any item; `{noun}` and a word `{like}` may occur.
    """

    name: str
    noun: str
    heads: tuple[Label, ...]
    labels: tuple[Label, ...]
    wants: tuple[str, ...]
    weight: float = 1.0


def _pick(options: str) -> Make:
    choices = tuple(option.strip() for option in options.split("/"))
    return lambda rng: rng.choice(choices)


def _count(unit: str, low: int = 1, high: int = 30) -> Make:
    return lambda rng: f"{rng.randint(low, high)}{unit}"


def _maybe_new(options: str, share: float = 0.35) -> Make:
    usual = _pick(options)
    return lambda rng: words.stem(rng) if rng.random() < share else usual(rng)


def _saying(rng: Dice) -> str:
    word, noun = words.Word(words.stem(rng)), words.Word(rng.choice(words.NOUNS))
    forms = (
        "매일 아침 {w:을} 준비합니다",
        "{w:과} {n:을} 아낌없이 씁니다",
        "아이들이 {w:을} 좋아합니다",
        "{w} 걱정 없이 오십시오",
        "정성을 다해 {w:을} 만듭니다",
        "우리 동네 {n}입니다",
        "따뜻한 {w:으로} 맞이하겠습니다",
        "혼자 와도 편한 {w}입니다",
        "{n} 손님을 기다립니다",
        "재료는 {w}에서 가져옵니다",
    )
    return rng.choice(forms).format(w=word, n=noun)


def _tool_use(rng: Dice) -> str:
    what = rng.choice(
        "문서 일정 사진 영상 지도 논문 통계 그림 소리 번역 코드 회의록 설문 뉴스 도표 파일 메모 할 일".split()
    )
    to_do = rng.choice(
        "함께 쓰는/쉽게 찾는/정리하는/나누는/모아 보는/고치는/바꾸어 주는/분석하는/만드는/저장하는/공유하는/비교하는/자동으로 요약하는".split(
            "/"
        )
    )
    kind = rng.choice("도구 서비스 사이트 프로그램 앱 플랫폼 저장소 검색기".split())
    what_word = words.Word(what)
    return f"{what_word:을} {to_do} {kind}"


def _plain_label(name: str, make: Make, *asks: str) -> Label:
    return Label(name, make, "plain", asks)


def _price(name: str, *asks: str) -> Label:
    return Label(name, words.price, "price", asks or ("얼마", ""))


PRICE = _price("가격")
HOURS = Label(
    "영업시간", words.hours, "time", ("몇 시까지 해요?", "언제 열어요?", "몇 시에 문을 열어요?", "지금 하고 있어요?")
)
PLACE = Label("위치", words.place, "place", ("어디에 있어요?", "어디예요?", "어디로 가면 돼요?"))
_WHO = ("누가 맡아요?", "누가 하나요?", "맡은 사람이 누구예요?")

_FOOD = Domain(
    "food",
    "메뉴",
    (Label("가게", words.shop, "head"), Label("메뉴", words.dish, "head")),
    (
        PRICE,
        PRICE,
        HOURS,
        PLACE,
        Label("착한가게", words.yes_no, "flag", ("착한가게예요?", "착한가게 맞아요?")),
        _plain_label("분류", _maybe_new("한식/분식/중식/양식/일식/간식/빵/음료/도시락/카페/치킨/국수")),
        Label("사장님 말씀", _saying, "saying", ("사장님이 뭐라고 하셨어요?", "사장님 말씀이 뭐예요?")),
        _plain_label("할인", _maybe_new("10%/20%/30%/500원 할인/1,000원 할인/없음/어린이 할인"), "할인돼요?", "얼마나 깎아 줘요?"),
        _plain_label("알레르기", _maybe_new("우유/달걀/밀/땅콩/새우/게/콩/복숭아/없음/우유, 밀/달걀, 콩/돼지고기", 0.2), "알레르기 있는 재료가 들었어요?", "뭐가 들어 있어요?"),
        _plain_label("쿠폰", _maybe_new("500원 쿠폰/1,000원 쿠폰/음료 쿠폰/없음/첫 방문 쿠폰"), "쿠폰 있어요?", "쿠폰 쓸 수 있어요?"),
        Label("배달비", words.price, "price", ("배달비 얼마예요?", "배달하면 얼마 더 내요?")),
        _plain_label("배달 시간", _count("분", 10, 70), "배달은 얼마나 걸려요?"),
        _plain_label("별점", lambda rng: f"{rng.randint(30, 50) / 10}점", "별점이 몇 점이에요?"),
        _plain_label("포장", _pick("가능/불가/전화 예약")),
        _plain_label("주차", _pick("가능/불가/2대/건물 뒤")),
        _plain_label("매운맛", _pick("없음/1단계/2단계/3단계/조절 가능"), "매워요?", "많이 매운가요?"),
        _plain_label("인기 메뉴", words.dish),
        _plain_label("쉬는 날", _pick("월요일/화요일/일요일/없음/첫째 주 일요일/공휴일"), "언제 쉬어요?"),
        _plain_label("양", _pick("1인분/2인분/곱빼기/보통/넉넉함")),
        _plain_label("대상", _pick("어린이/누구나/학생/가족")),
    ),
    (
        "{like} 먹고 싶어요", "{like} 먹고 싶어", "{like} 추천해 주세요", "{like} 어디서 먹을 수 있어요?", "{like} 파는 곳 있어요?",
        "뭐 먹을까요?", "점심 추천해 주세요", "저녁에 뭐 먹지?", "배고파요", "간식 먹고 싶어요", "맛있는 곳 알려 주세요", "오늘 뭐 먹으면 좋을까요?",
        "{money} 이하로 먹을 수 있는 거 있어요?", "{money}으로 뭐 먹을 수 있어요?", "{kind} 추천해 줘", "{kind} 먹고 싶어요", "지금 여는 가게 있어요?",
        "착한가게 알려 주세요", "가까운 가게 추천해 주세요", "매운 거 말고 뭐 있어요?", "혼자 먹기 좋은 곳 있나요?",
    ),
    weight=8.0,
)  # fmt: skip

_GOODS = Domain(
    "goods",
    "상품",
    (Label("상품", words.title, "head"), Label("브랜드", words.stem, "head")),
    (
        PRICE,
        _plain_label("할인", _pick("5%/10%/15%/20%/없음")),
        _plain_label("유효기간", words.date, "언제까지 써요?"),
        _plain_label("사용처", words.shop, "어디서 써요?"),
        _plain_label("재고", _count("개", 0, 90), "몇 개 남았어요?"),
        Label("배송비", words.price, "price", ("배송비 얼마예요?",)),
        _plain_label("쿠폰", _maybe_new("1,000원 쿠폰/2,000원 쿠폰/없음")),
    ),
    (
        "{like} 있어요?",
        "상품 추천해 주세요",
        "선물하기 좋은 거 있나요?",
        "{money} 이하 상품 보여 주세요",
        "뭐가 잘 팔려요?",
    ),
    weight=1.5,
)


def _domain(  # noqa: PLR0917  -- a table row, read by its columns
    name: str, noun: str, head: Label, labels: tuple[Label, ...], wants: str, weight: float = 1.0
) -> Domain:
    return Domain(name, noun, (head,), labels, tuple(want.strip() for want in wants.split("/")), weight)


_OTHERS = (
    _domain(
        "library", "책", Label("제목", words.title, "head"),
        (_plain_label("저자", words.person, "누가 썼어요?"), _plain_label("청구기호", lambda r: f"{r.randint(0, 999):03d}-{r.randint(1, 99)}"),
         _plain_label("대출", _pick("가능/대출 중/예약 중/불가"), "빌릴 수 있어요?"), _plain_label("반납일", words.date, "언제 반납돼요?"),
         _plain_label("자료실", words.stem), _plain_label("권수", _count("권"))),
        "책 추천해 주세요/읽을 만한 책 있어요?/{like} 책 찾고 있어요/어떤 책을 빌릴 수 있나요?/{like} 빌리고 싶어요",
    ),
    _domain(
        "clinic", "진료과", Label("진료과", _maybe_new("내과/소아과/치과/안과/피부과/정형외과/이비인후과", 0.5), "head"),
        (_plain_label("의사", words.person, "의사 선생님이 누구예요?"), Label("진료시간", words.hours, "time", ("몇 시까지 봐요?",)),
         _plain_label("접수 마감", words.clock, "접수는 언제까지예요?"), _price("진료비"), PLACE, _plain_label("대기", _count("명"), "몇 명 기다려요?")),
        "어느 과로 가야 해요?/진료 받고 싶어요/{like} 진료 보나요?/병원 안내해 주세요",
    ),
    _domain(
        "bus", "노선", Label("노선", lambda r: f"{words.stem(r)[:2]}{r.randint(1, 999)}번" if r.random() < 0.6 else f"{r.randint(1, 9999)}번", "head"),
        (_plain_label("첫차", words.clock, "첫차가 몇 시예요?"), _plain_label("막차", words.clock, "막차가 언제예요?"), _plain_label("배차 간격", _count("분", 4, 40)),
         _plain_label("정류장", words.stem, "어디서 타요?"), _price("요금", "요금이 얼마예요?"), _plain_label("종점", words.stem)),
        "버스 뭐 타야 해요?/버스 노선 알려 주세요/{like} 버스 타고 싶어요/가는 버스 있어요?",
    ),
    _domain(
        "subway", "역", Label("역", lambda r: words.stem(r) + "역", "head"),
        (_plain_label("호선", _count("호선", 1, 9)), _plain_label("출구", _count("번 출구", 1, 12), "몇 번 출구예요?"), _plain_label("첫차", words.clock),
         _plain_label("막차", words.clock, "막차 언제예요?"), _plain_label("소요 시간", _count("분", 2, 90), "얼마나 걸려요?")),
        "지하철역 알려 주세요/어느 역에서 내려요?/가까운 역 있어요?",
    ),
    _domain(
        "weather", "지역", Label("지역", words.stem, "head"),
        (_plain_label("날씨", _pick("맑음/흐림/비/눈/구름 많음/안개/소나기"), "날씨 어때요?", "비 와요?"), _plain_label("기온", _count("도", -12, 36), "몇 도예요?", "추워요?"),
         _plain_label("강수 확률", _count("%", 0, 100), "비 올까요?"), _plain_label("미세먼지", _pick("좋음/보통/나쁨/매우 나쁨")), _plain_label("바람", _pick("약함/보통/강함"))),
        "오늘 날씨 어때요?/날씨 알려 주세요/우산 필요해요?/내일 날씨 알려 줘",
    ),
    _domain(
        "bookshop", "책", Label("책", words.title, "head"),
        (PRICE, _plain_label("재고", _count("권", 0, 50), "몇 권 있어요?"), _plain_label("저자", words.person), _plain_label("출판사", words.stem), _plain_label("서가", _count("번 서가", 1, 60))),
        "책 추천해 주세요/{like} 책 있어요?/새로 나온 책 있나요?/{money} 이하 책 있어요?",
    ),
    _domain(
        "timetable", "과목", Label("과목", _maybe_new("국어/수학/영어/과학/사회/음악/미술/체육/도덕", 0.5), "head"),
        (_plain_label("요일", _pick("월요일/화요일/수요일/목요일/금요일"), "무슨 요일이에요?"), _plain_label("교시", _count("교시", 1, 7), "몇 교시예요?"),
         _plain_label("교실", words.stem, "어느 교실이에요?"), _plain_label("선생님", words.person, "누가 가르쳐요?"), _plain_label("준비물", lambda r: r.choice(words.THINGS), "뭘 가져가야 해요?")),
        "오늘 수업 뭐 있어요?/시간표 알려 주세요/무슨 과목이 있나요?",
    ),
    _domain(
        "museum", "전시", Label("전시", words.title, "head"),
        (_price("관람료", "얼마 내요?"), Label("운영시간", words.hours, "time", ("몇 시까지 볼 수 있어요?",)), _plain_label("휴관일", _pick("월요일/화요일/없음/설날")),
         PLACE, _plain_label("기간", lambda r: f"{words.date(r)}까지", "언제까지 해요?"), _plain_label("해설", _pick("있음/없음/주말만"))),
        "볼 만한 전시 있어요?/전시 추천해 주세요/박물관에서 뭐 해요?/{like} 전시 보고 싶어요",
    ),
    _domain(
        "repair", "수리", Label("수리", lambda r: f"{r.choice(words.THINGS)} {words.stem(r)[:3]}" if r.random() < 0.5 else words.stem(r), "head"),
        (_price("비용", "비용이 얼마예요?"), _plain_label("소요 시간", _count("시간", 1, 72), "얼마나 걸려요?"), _plain_label("보증", _count("개월", 1, 24)), _plain_label("담당", words.person, *_WHO)),
        "수리 맡기고 싶어요/어떤 수리를 하나요?/{like} 고칠 수 있어요?",
    ),
    _domain(
        "parcel", "물품", Label("물품", lambda r: f"{words.stem(r)} {r.choice(words.THINGS)}" if r.random() < 0.5 else words.stem(r), "head"),
        (_plain_label("상태", _pick("배송 중/배송 완료/접수/보관 중/반송"), "어디까지 왔어요?"), _plain_label("도착 예정", words.date, "언제 와요?"), _plain_label("보관 장소", words.place, "어디 있어요?"),
         Label("배송비", words.price, "price", ("배송비 얼마예요?",)), _plain_label("기사", words.person)),
        "택배 어디 있어요?/택배 조회해 주세요/오늘 오는 물건 있어요?",
    ),
    _domain(
        "pool", "강습", Label("강습", lambda r: words.stem(r) + r.choice(("반", " 강습", "")), "head"),
        (_plain_label("요일", _pick("월수금/화목/주말/매일/토요일"), "무슨 요일에 해요?"), Label("시간", words.hours, "time", ("몇 시에 해요?",)), _price("수강료", "수강료 얼마예요?"),
         _plain_label("정원", _count("명", 5, 40), "몇 명이에요?"), _plain_label("강사", words.person, "누가 가르쳐요?")),
        "수영 배우고 싶어요/강습 추천해 주세요/어떤 강습이 있어요?",
    ),
    _domain(
        "community", "강좌", Label("강좌", lambda r: words.stem(r) + r.choice((" 교실", " 모임", "")), "head"),
        (_plain_label("요일", _pick("월요일/수요일/금요일/토요일/매주")), Label("시간", words.hours, "time", ()), _price("참가비", "참가비 얼마예요?"), PLACE, _plain_label("신청", _pick("전화/방문/인터넷/마감"), "어떻게 신청해요?")),
        "강좌 추천해 주세요/주말에 할 거 있어요?/어떤 강좌가 있나요?/{like} 배우고 싶어요",
    ),
    _domain(
        "recycling", "품목", Label("품목", lambda r: f"{words.stem(r)} {r.choice(words.THINGS)}" if r.random() < 0.5 else r.choice(words.THINGS), "head"),
        (_plain_label("배출 요일", _pick("월요일/화요일/수요일/목요일/금요일/일요일"), "언제 버려요?"), _plain_label("배출 방법", _pick("씻어서/묶어서/접어서/봉투에 담아/스티커를 붙여/따로 모아"), "어떻게 버려요?"),
         _price("수수료", "수수료 얼마예요?"), _plain_label("배출 장소", words.place, "어디에 버려요?")),
        "분리수거 어떻게 해요?/{like} 버리고 싶어요/버리는 날 알려 주세요",
    ),
    _domain(
        "meeting", "안건", Label("안건", lambda r: f"{words.stem(r)} {r.choice('일정 예산 발표 점검 행사 계약 교육 배포 설문 채용'.split())}", "head"),
        (_plain_label("결정", lambda r: f"{words.stem(r)} {r.choice('진행 보류 변경 승인 연기 축소 확대'.split())}", "어떻게 결정됐나요?", "뭐로 정했어요?"), _plain_label("담당", words.person, *_WHO),
         _plain_label("기한", words.date, "언제까지예요?"), _plain_label("다음 단계", lambda r: f"{words.stem(r)} {r.choice('확인 검토 보고 작성 공유'.split())}"), _plain_label("예산", lambda r: f"{r.randint(1, 90) * 10}만 원")),
        "회의에서 뭐가 정해졌나요?/안건 정리해 주세요/회의 내용 알려 주세요/지난 회의 요약해 주세요",
        1.5,
    ),
    _domain(
        "work", "업무", Label("업무", lambda r: f"{words.stem(r)} {r.choice('보고서 설계 시험 문서 조사 분석 화면 견적서 자료'.split())}", "head"),
        (_plain_label("담당", words.person, *_WHO), _plain_label("마감", words.date, "언제까지 해요?"), _plain_label("상태", _pick("진행 중/완료/대기/검토 중/보류"), "어디까지 됐어요?"), _plain_label("우선순위", _pick("높음/보통/낮음")), _plain_label("도움", words.person)),
        "할 일 알려 주세요/무슨 업무가 있나요?/급한 일 있어요?/이번 주에 뭐 해야 해요?",
        1.5,
    ),
    _domain(
        "office", "민원", Label("민원", lambda r: f"{words.stem(r)} {r.choice('신고 발급 신청 등록 변경 증명서'.split())}", "head"),
        (_plain_label("창구", _count("번 창구", 1, 20), "몇 번 창구예요?"), _price("수수료", "수수료 얼마예요?"), _plain_label("처리 기간", _count("일", 1, 30), "얼마나 걸려요?"), _plain_label("필요 서류", lambda r: r.choice(("신분증", "신청서", words.stem(r) + " 증명서")), "뭘 가져가야 해요?")),
        "어디로 가야 해요?/민원 안내해 주세요/{like} 하려면 어떻게 해요?",
    ),
    _domain(
        "tools", "도구", Label("이름", words.tool, "head"),
        (_plain_label("설명", _tool_use, "뭐 하는 거예요?", "어떤 도구예요?"), _plain_label("설명", _tool_use), _plain_label("분류", _maybe_new("문서/연구/디자인/개발/번역/통계/교육/지도")), _price("가격", "얼마예요?"), _plain_label("로그인", _pick("필요/필요 없음")), _plain_label("언어", _pick("한국어/영어/여러 언어"))),
        "도구 추천해 주세요/{like} 사이트 찾아 줘/검색 결과 알려 주세요/쓸 만한 서비스 있어요?/비슷한 도구 있어요?",
        2.0,
    ),
)  # fmt: skip

DOMAINS: tuple[Domain, ...] = (_FOOD, _GOODS, *_OTHERS)
