"""What is masked, what is left to a person, and what stays."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_examples import examples

from nabi.curation.pii.kinds import KINDS, placeholder
from nabi.curation.pii.mask import mask

CANARIES = (
    "010-9182-7364",
    "900101-1827364",
    "220817-3918274",
    "950618-8029384",
    "canary.secret@naver.com",
    "국민 918273-04-918273",
    "4539-1488-0343-6467",
    "11-08-918273-56",
    "M91827364",
    "91가8273",
)
CHATTER = st.lists(
    st.sampled_from(
        [
            "제 ",
            "번호는 ",
            "네 ",
            "4,500원 ",
            "떡볶이 ",
            "이에요",
            "요! ",
            "으로 ",
            "에서 ",
            "ㅋㅋ ",
            "\n",
            "(",
            ") ",
            "😊",
            "<이름> ",
            "ᄒ\u1161\u11ab",
            "-",
        ]
    ),
    max_size=6,
).map("".join)
PIECES = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="0123456789-. 공일이삼사오육칠팔구원@a가길로동호년월일생<>\u200b\u0301１", max_size=20),
    st.sampled_from(
        [
            *CANARIES,
            "제 이름은 김하늘",
            "서울시 강남구 테헤란로 152",
            "생일은 5월 3일",
            "닉네임 하늘별",
            "<전화번호>",
            "<",
            ">",
        ]
    ),
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("제 번호는 010-1234-5678이에요", "제 번호는 <전화번호>이에요"),
        ("01012345678로 전화 주세요", "<전화번호>로 전화 주세요"),
        ("010 1234 5678, 010.1234.5678", "<전화번호>, <전화번호>"),
        ("공일공 일이삼사 오육칠팔로 걸어", "<전화번호>로 걸어"),
        ("+82 10-1234-5678입니다", "<전화번호>입니다"),
        ("가게는 031-123-4567이고 대표번호는 1588-1234예요", "가게는 <전화번호>이고 대표번호는 <전화번호>예요"),
        ("주민번호 900101-1234567이요", "주민번호 <주민등록번호>이요"),
        ("2020년 뒤에 받은 221017-3123456", "2020년 뒤에 받은 <주민등록번호>"),
        ("900101 - 1******로 나와요", "<주민등록번호>로 나와요"),
        ("외국인등록번호는 900101-5234567입니다", "외국인등록번호는 <외국인등록번호>입니다"),
        ("hana@daum.net이에요", "<이메일>이에요"),
        ("국민은행 123456-04-567890으로 입금", "국민은행 <계좌번호>으로 입금"),
        ("3333-01-1234567 카카오뱅크예요", "<계좌번호> 카카오뱅크예요"),
        ("카드번호 4539-1488-0343-6467", "카드번호 <카드번호>"),
        ("서울시 강남구 테헤란로 152, 101동 1203호로 와 주세요", "<주소>로 와 주세요"),
        ("경기도 성남시 분당구 정자동 178-4 살아요", "<주소> 살아요"),
        ("면허번호는 11-08-123456-78", "면허번호는 <면허번호>"),
        ("여권 M123A4567이에요", "여권 <여권번호>이에요"),
        ("12가3456 차 빼 주세요", "<차량번호> 차 빼 주세요"),
        ("제 생일은 5월 3일이에요", "제 생일은 <생년월일>이에요"),
        ("저는 김하늘이라고 해요", "저는 <이름>이라고 해요"),
        ("김철수 고객님 나왔어요", "<이름> 고객님 나왔어요"),
        ("인스타 @hana.daily 팔로우", "인스타 <아이디> 팔로우"),
        ("아이디는 happycat77이고 비밀번호는 cat1234!예요", "아이디는 <아이디>이고 비밀번호는 <비밀번호>예요"),
        ("０１０－１２３４－５６７８", "<전화번호>"),
        ("010\u200b-1234\u200b-5678", "<전화번호>"),
        (
            unicodedata.normalize("NFD", "저는 김하늘이라고 해요"),
            unicodedata.normalize("NFD", "저는 ") + "<이름>" + unicodedata.normalize("NFD", "이라고 해요"),
        ),
    ],
)
def test_a_secret_gives_way_to_its_placeholder_and_the_rest_stays(text: str, masked: str) -> None:
    assert mask(text).text == masked


@pytest.mark.parametrize(
    "text",
    [
        "떡볶이 4,500원, 튀김 3,000원이에요",
        "총 12,345,678원 결산했습니다",
        "영업시간은 10:00~21:00이에요",
        "2026-07-01 12:00에 회의가 있어요",
        "1004명이 신청했어요",
        "1004분식에서 2번 세트 주세요",
        "2호선 강남역 3번 출구에서 5분이요",
        "카드로 3개, 앞으로 2일",
        "사장님, 선생님, 고객님 안녕하세요",
        "저는 초등학생이에요",
        "생일 파티를 7월 1일에 예약할게요",
        "아이디가 뭐예요? 닉네임을 바꾸고 싶어요",
        "하나 둘 셋 넷 다섯 여섯 일곱 여덟",
        "이 일이 이사 오면서 일어났어요",
        "로또 3 11 15 29 35 44 45",
        "ㅋㅡㅋ ㅋㅋㅋㅋㅋㅋㅋㅋ",
    ],
)
def test_prices_times_and_everyday_talk_stay(text: str) -> None:
    masked = mask(text)
    assert (masked.text, masked.found, masked.doubtful) == (text, (), ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("이거 29384756이래요", "long number"),
        ("구공공일공일 일이삼사오육칠", "spelled number"),
        ("110-123-456789", "long number"),
    ],
)
def test_a_number_that_nothing_explains_stays_and_is_left_to_a_person(text: str, reason: str) -> None:
    masked = mask(text)
    assert masked.text == text
    assert [doubt.reason for doubt in masked.doubtful] == [reason]


def test_found_spans_point_into_the_text_as_written() -> None:
    text = "번호 ０１０－１２３４\u200b－５６７８, 메일 a@b.kr"
    assert [text[found.start : found.end] for found in mask(text).found] == [
        "０１０－１２３４\u200b－５６７８",
        "a@b.kr",
    ]


def test_digits_that_hang_on_a_secret_go_with_it() -> None:
    assert mask("010-1234-5678-9").text == "<전화번호>"


def test_what_stands_in_an_open_entry_stays_unless_it_is_a_mobile_number() -> None:
    entry = "해맑은분식 | 주소: 서울시 강남구 테헤란로 152 | 전화: 02-123-4567, 010-1234-5678"
    answer = "서울시 강남구 테헤란로 152에 있고 02-123-4567, 010-1234-5678이에요"
    assert mask(answer, (entry,)).text == "서울시 강남구 테헤란로 152에 있고 02-123-4567, <전화번호>이에요"
    assert mask(answer).text == "<주소>에 있고 <전화번호>, <전화번호>이에요"


@examples(250)
@given(TEXTS)
def test_masking_twice_changes_nothing_and_no_text_breaks_it(text: str) -> None:
    once = mask(text)
    twice = mask(once.text)
    assert (twice.text, twice.found) == (once.text, ())
    assert len(twice.doubtful) == len(once.doubtful)


@examples(250)
@given(CHATTER, st.sampled_from(CANARIES), CHATTER)
def test_a_canary_never_survives(before: str, canary: str, after: str) -> None:
    """Whatever stands around it: not one group of its characters is left, or the text is set apart."""
    masked = mask(f"{before} {canary} {after}")
    assert masked.doubtful or not [
        part for part in re.findall(r"[0-9]{3,}|canary|secret", canary) if part in masked.text
    ]


@examples(250)
@given(TEXTS)
def test_the_text_outside_the_found_spans_is_kept_letter_by_letter(text: str) -> None:
    masked, expected, last = mask(text), "", 0
    for found in masked.found:
        expected += text[last : found.start] + placeholder(found.kind)
        last = found.end
    assert masked.text == expected + text[last:]


def test_placeholders_are_read_as_nothing() -> None:
    text = " ".join(placeholder(kind) for kind in KINDS) + "님 안녕하세요"
    assert mask(text).text == text
