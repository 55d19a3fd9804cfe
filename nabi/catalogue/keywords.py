"""The words by which questions are understood: tables that a person can read, check and extend."""

from __future__ import annotations

import re
from typing import Literal

Ask = Literal["hours", "price", "cheaper", "another", "menus"]
"""What a follow-up question wants to know of the shop that was named before."""

# Spellings that children mix up, and the one that is looked up.
SPELLINGS = {
    "떡복이": "떡볶이",
    "떡볶기": "떡볶이",
    "떡뽁이": "떡볶이",
    "떡뽀끼": "떡볶이",
    "돈가스": "돈까스",
    "돈까쓰": "돈까스",
    "자장": "짜장",
    "김빱": "김밥",
    "쥬스": "주스",
    "케익": "케이크",
    "알러지": "알레르기",
    "앨러지": "알레르기",
    "알르레기": "알레르기",
    "추천해조": "추천해줘",
    "머 먹": "뭐 먹",
    "모 먹": "뭐 먹",
    "먹고시퍼": "먹고 싶어",
    "먹고싶": "먹고 싶",
}

# What children call a kind of food → what must stand in a shop's category.
CATEGORY_WORDS = {
    "한식": ("한식",),
    "밥집": ("한식",),
    "백반": ("한식",),
    "분식": ("분식",),
    "중식": ("중식", "중국"),
    "중국집": ("중식", "중국"),
    "중국 음식": ("중식", "중국"),
    "일식": ("일식", "일본"),
    "일본 음식": ("일식", "일본"),
    "양식": ("양식", "서양"),
    "카페": ("카페",),
    "디저트": ("디저트", "카페", "베이커리", "제과"),
    "후식": ("디저트", "카페", "베이커리", "제과"),
    "빵집": ("베이커리", "제과", "빵"),
    "베이커리": ("베이커리", "제과", "빵"),
    "치킨집": ("치킨",),
    "피자집": ("피자", "양식"),
    "고깃집": ("고기", "구이"),
    "고기집": ("고기", "구이"),
    "편의점": ("편의점",),
    "패스트푸드": ("패스트푸드",),
    "햄버거집": ("패스트푸드", "버거"),
    "도시락집": ("도시락",),
    "아시안": ("아시안", "아시아"),
    "쌀국수집": ("아시안", "아시아", "베트남"),
    "반찬가게": ("반찬",),
    "죽집": ("죽",),
}

PLACE_WORDS = frozenset(form for word in CATEGORY_WORDS for form in (word.replace(" ", ""), f"{word}집"))
"""Words that name a kind of place and so are never read as a dish."""

# What children call an allergen → the names under which workbooks list it.
ALLERGENS = {
    "우유": ("우유",),
    "계란": ("난류", "계란", "달걀"),
    "달걀": ("난류", "계란", "달걀"),
    "난류": ("난류", "계란", "달걀"),
    "밀": ("밀",),
    "밀가루": ("밀",),
    "메밀": ("메밀",),
    "콩": ("대두", "콩"),
    "대두": ("대두", "콩"),
    "땅콩": ("땅콩",),
    "견과": ("땅콩", "호두", "잣", "견과"),
    "호두": ("호두",),
    "잣": ("잣",),
    "새우": ("새우",),
    "꽃게": ("게",),
    "게 알레르기": ("게",),  # the syllable alone means "a thing" far more often than a crab
    "오징어": ("오징어",),
    "조개": ("조개",),
    "고등어": ("고등어",),
    "복숭아": ("복숭아",),
    "토마토": ("토마토",),
    "돼지고기": ("돼지고기",),
    "소고기": ("쇠고기", "소고기"),
    "쇠고기": ("쇠고기", "소고기"),
    "닭고기": ("닭고기",),
}

SMALLTALK = {
    "greeting": r"안녕|하이|반가|헬로|ㅎㅇ",
    "thanks": r"고마|고맙|감사|땡큐|ㄱㅅ",
    "bye": r"잘 ?가|바이|다음에 ?봐|나중에 ?봐|잘 ?있어|잘 ?자",
    "who": r"너 ?누구|누구야|누구세요|누구예요|이름이 ?뭐|이름 ?뭐|뭐 ?하는 ?(애|친구)|나비얌이 ?(뭐|누구)",
    "full": r"배 ?불|잘 ?먹었|맛있게 ?먹었|맛있었|다 ?먹었",
    "mood": r"심심|슬퍼|속상|힘들|우울|기분|시험|혼났|피곤|졸려|외로",
    "praise": r"좋아해|최고|귀여|귀엽|똑똑|멋지|멋져|사랑해",
}

ALLERGY = re.compile(r"알레르기|두드러기")
CONTAINS = re.compile(r"들어 ?(있|가|갔)|들었|못 ?먹|먹으면 ?안")
"""About allergens when one is named with it: "우유 들어가요?", but not "매운 거 못 먹어"."""

CHOICE = re.compile(r"뭐|어디|어느|중에|추천|먹을 ?(수|거|만)")
"""Asks what may be eaten instead of what one dish contains."""

COUPON = re.compile(r"쿠폰|할인|깎아")
DELIVERY = re.compile(r"배달|갖다 ?줘|집으로 ?가져")
GOOD = re.compile(r"착한|선한|좋은 ?일 ?하는|좋은 ?영향")
OPEN = re.compile(
    r"열려|열린|열었|연 ?(데|곳|집|가게)|여는|문 ?(연|열|닫)|영업|몇 ?시|하는 ?(데|곳|집)"
    r"|24 ?시|늦게|늦은|아직 ?(하|해)|일찍"
)
DAYPART = re.compile(r"아침|점심|저녁|야식|간식|새벽|한밤")
BEST = re.compile(r"인기|대표|베스트|잘 ?나가|유명|제일 ?잘|많이 ?(먹|시)")
SUGGEST = re.compile(r"추천|맛있는|뭐 ?먹|먹을까|배고|맛집|먹을 ?(만|수)|뭐가 ?좋|아무거나|골라|출출")
CHEAP = re.compile(r"싼|싸게|싸고|저렴|가성비|용돈|돈이? ?(조금|없|별로|얼마)|한도|잔액")
REFERENCE = re.compile(r"거기|거긴|그 ?집|그 ?가게|그 ?곳|그건|그거|아까|방금|여기|여긴")
WANTED = re.compile(r"(\S+?)(?:이랑|랑|을|를|이|가|은|는|도)? ?(?:먹고 ?싶|파는|팔아|팔까|땡겨|땡긴|당겨)")

ASKS: tuple[tuple[Ask, re.Pattern[str]], ...] = (
    ("cheaper", re.compile(r"더 ?(싼|저렴|싸)|비싸|비싼데|조금만 ?싼")),
    ("menus", re.compile(r"뭐가 ?(맛있|유명|인기)|뭐 ?(팔|맛있|있)|대표 ?메뉴|다른 ?메뉴|메뉴 ?(뭐|알려)")),
    ("another", re.compile(r"다른 ?(데|곳|거|것|건|집|가게)|말고|또 ?(있|없|다른)|하나 ?더|딴 ?(데|거)")),
    ("hours", re.compile(r"몇 ?시|언제까지|언제 ?닫|영업 ?시간|문 ?닫|늦게까지|언제 ?끝")),
    ("price", re.compile(r"얼마|가격")),
)

SINO = {digit: value for value, digit in enumerate("일이삼사오육칠팔구", start=1)}
COUNT = r"\d+|[일이삼사오육칠팔구]"
PLAIN_PRICE = re.compile(r"(\d{1,3}(?:,\d{3})+|\d{3,6})\s*원|(\d{4,6})(?=\s*(?:이하|까지|밑|안|으로|정도|있))")
SPOKEN_PRICE = re.compile(
    rf"(?<![가-힣\d,])(?:(?P<man>{COUNT})?\s*만)?\s*(?:(?P<cheon>{COUNT})?\s*천)?\s*(?:(?P<baek>{COUNT})?\s*백)?\s*(?P<won>원)?"
)
HOUR = re.compile(r"(?P<part>아침|오전|낮|점심|오후|저녁|밤|새벽)?\s*(?<!\d)(?P<hour>\d{1,2})\s*시(?!간)")

PARTICLES = re.compile(r"(?:이랑|에서|으로|에는|한테|이나|까지|집|은|는|이|가|을|를|도|로|랑|만|의|에|나)$")
ONE_SYLLABLE_FOODS = frozenset({"빵", "떡", "죽", "회", "밥", "면"})
# Words of asking that may also stand in a menu's name ("사장님 추천 세트").
# fmt: off
ASKING_WORDS = frozenset([
    "메뉴", "가게", "음식", "식당", "맛집", "추천", "인기", "대표", "베스트", "점심", "저녁", "아침", "야식", "간식",
    "새벽", "지금", "오늘", "근처", "가격", "하나", "세트", "특선", "먹고", "싶어", "착한", "사장님", "배달", "쿠폰",
    "할인", "알레르기", "급식카드", "카드", "친구", "동생", "엄마", "아빠", "우리", "학교", "학원", "매운", "맛있는",
    "따뜻한", "시원한", "든든한", "다른", "여기", "거기", "정도", "이하", "무료", "시간", "있어", "있는", "어디",
    "뭐가", "제일", "진짜", "많이", "조금", "나는", "그냥", "한도",
])
# fmt: on
