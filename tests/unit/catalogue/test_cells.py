"""One cell at a time: what many hands write, and what it means."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nabi.catalogue import cells
from nabi.catalogue.allergens import parse_allergens, without_note
from nabi.catalogue.cells import Benefit
from nabi.catalogue.columns import SHEETS, parse_category, parse_snippet, parse_text
from nabi.catalogue.findings import RULES
from nabi.catalogue.hours import minute_of, parse_closed_days, parse_hours
from nabi.catalogue.model import Hours
from nabi.catalogue.raw import Unset
from nabi.catalogue.texts import clean, is_personal, not_for_children, shorten


def rules(reading: cells.Reading[Any]) -> tuple[str, ...]:
    return tuple(item.rule for item in reading.problems)


@pytest.mark.parametrize(
    ("cell", "price"),
    [
        (8900, 8900),
        (8900.0, 8900),
        ("8,900원", 8900),
        ("8900", 8900),
        ("8900.0", 8900),
        ("5천원", 5000),
        ("5천 원", 5000),
        ("5천5백원", 5500),
        ("1만2천원", 12000),
        ("만원", 10000),
        ("만5천", 15000),
        ("1.2만원", 12000),
        ("₩6,500", 6500),
        ("８，９００원", 8900),
        (" 7,000 원 ", 7000),
        ("6500 won", 6500),
        ("3백원", 300),
        ("2만", 20000),
        ("1만500원", 10500),
    ],
)
def test_prices(cell: Any, price: int) -> None:
    assert cells.parse_price(cell).value == price


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("시가", "not_stated"),
        ("문의", "not_stated"),
        (0, "zero_price"),
        ("0원", "zero_price"),
        (-4500, "unreadable_price"),
        (45.5, "unreadable_price"),
        ("7,000~9,000원", "price_range"),
        ("6천원부터", "price_range"),
        ("싸요", "unreadable_price"),
        (True, "unreadable_price"),
        (date(2026, 1, 1), "unreadable_price"),
        (Unset.FORMULA, "formula_without_value"),
        ("천", None),
        (None, None),
        ("", None),
        ("NULL", None),
    ],
)
def test_prices_that_nobody_can_know(cell: Any, rule: str | None) -> None:
    reading = cells.parse_price(cell)
    if rule is None:
        assert rules(reading) in ((), ("price_as_text",))
    else:
        assert (reading.value, rules(reading)) == (None, (rule,))


@given(st.integers(min_value=1, max_value=10**7))
def test_a_price_written_with_commas_and_won_is_read_back(price: int) -> None:
    assert cells.parse_price(f"{price:,}원").value == price


@pytest.mark.parametrize("cell", [1, 1.0, True, "TRUE", "Y", "y", "예", "O", " 1 ", "1.0", "Ｙ"])
def test_yes(cell: Any) -> None:
    assert cells.parse_flag(cell).value is True


@pytest.mark.parametrize("cell", [0, 0.0, False, "FALSE", "N", "아니오", "X", "0"])
def test_no(cell: Any) -> None:
    assert cells.parse_flag(cell).value is False


def test_flags_that_say_nothing_or_cannot_be_read() -> None:
    assert cells.parse_flag(None) == cells.Reading()
    assert cells.parse_flag("?").value is False
    assert cells.parse_careful_flag("확인중").value is True, "in doubt nobody is sent there in vain"
    assert rules(cells.parse_careful_flag("확인중")) == ("unreadable_flag",)


@pytest.mark.parametrize(
    ("cell", "identifier"),
    [
        ("0012345678", "0012345678"),
        (12, "12"),
        (12.0, "12"),
        (" 7 ", "7"),
        ("A-7", "A-7"),
        (None, None),
        (1.5, None),
        (1234567890123456, None),
        (True, None),
    ],
)
def test_ids(cell: Any, identifier: str | None) -> None:
    assert cells.parse_id(cell).value == identifier


@pytest.mark.parametrize(
    ("cell", "rating"), [(5, 5.0), ("4점", 4.0), ("★★★☆☆", 3.0), ("4.5/5", 4.5), (0, None), (6, None), ("최고", None)]
)
def test_ratings(cell: Any, rating: float | None) -> None:
    assert cells.parse_rating(cell).value == rating


@pytest.mark.parametrize(
    "cell",
    [
        date(2026, 12, 31),
        datetime(2026, 12, 31, 8),
        "2026-12-31",
        "2026.12.31",
        "2026/12/31",
        "20261231",
        "2026년 12월 31일",
    ],
)
def test_dates(cell: Any) -> None:
    assert cells.parse_date(cell).value == date(2026, 12, 31)


def test_dates_that_do_not_exist() -> None:
    assert rules(cells.parse_date("2026-02-31")) == ("unreadable_date",)
    assert cells.parse_date("0000-00-00") == cells.Reading()


@pytest.mark.parametrize(
    ("deleted_at", "is_deleted", "deleted"),
    [
        (None, None, False),
        ("0000-00-00 00:00:00", 0, False),
        ("NULL", "N", False),
        (datetime(2026, 1, 1), None, True),
        ("2026-01-01", None, True),
        ("Y", None, True),
        (None, 1, True),
        (None, "Y", True),
        ("", "FALSE", False),
    ],
)
def test_marks_of_deletion(deleted_at: Any, is_deleted: Any, deleted: bool) -> None:
    assert cells.parse_deleted(deleted_at, is_deleted).value is deleted


def test_discounts_in_won_and_percent() -> None:
    assert cells.parse_discount(500, 4000).value == 500
    assert cells.parse_discount("10%", "8천원").value == 800
    assert rules(cells.parse_discount(4000, 4000)) == ("discount_too_big",)
    assert rules(cells.parse_discount("10%", "시가")) == ("no_value",)
    assert cells.parse_discount(0, 4000) == cells.Reading()


def test_what_a_coupon_is_worth() -> None:
    assert cells.parse_benefit("1천원", "AMOUNT").value == Benefit(value=1000)
    assert cells.parse_benefit(10, "PERCENT").value == Benefit(percent=10)
    assert cells.parse_benefit("20%", None).value == Benefit(percent=20)
    assert cells.parse_benefit(150, "PERCENT").value is None


def test_a_free_delivery_costs_nothing_and_an_unknown_one_is_unknown() -> None:
    assert [cells.parse_fee(cell).value for cell in (0, "무료", "2,000원", None)] == [0, 0, 2000, None]


@pytest.mark.parametrize(
    ("given_cells", "hours"),
    [
        (("10:00~21:00",), "10:00-21:00"),
        (("10:00 - 21:00",), "10:00-21:00"),
        (("오전 10시 - 오후 9시",), "10:00-21:00"),
        (("오전 10시 30분부터 오후 9시까지",), "10:30-21:00"),
        (("오전 10시 반 ~ 밤 10시",), "10:30-22:00"),
        (("10시~21시",), "10:00-21:00"),
        (("10AM ~ 9PM",), "10:00-21:00"),
        (("정오~자정",), "12:00-00:00"),
        ((time(9, 30), time(20)), "09:30-20:00"),
        (("10:00", "21:00"), "10:00-21:00"),
        ((0.4375, 0.875), "10:30-21:00"),
        (("11:00~24:00",), "11:00-00:00"),
        ((time(11), timedelta(days=1)), "11:00-00:00"),
        ((time(11), date(1900, 1, 1)), "11:00-00:00"),
        (("17:00~02:00",), "17:00-02:00"),
        (("17:00~익일 02:00",), "17:00-02:00"),
        (("17:00~26:00",), "17:00-02:00"),
        (("오후 5시 ~ 새벽 2시",), "17:00-02:00"),
        ((time(17), timedelta(hours=26)), "17:00-02:00"),
        (("24시간",), "00:00-00:00"),
        (("24시간 영업 (연중무휴)",), "00:00-00:00"),
        (("00:00~24:00",), "00:00-00:00"),
        (("11:30~20:30 (라스트오더 19:50)",), "11:30-20:30"),
        (("평일 10:00~21:00, 주말 11:00~20:00",), "11:00-20:00"),
        (("11:00~21:00 (브레이크타임 15:00~17:00)",), "11:00-21:00/15:00-17:00"),
        (("브레이크타임 15:00~17:00 / 영업 11:00~21:00",), "11:00-21:00/15:00-17:00"),
        (("11:00~21:00", None, "15:00-16:30"), "11:00-21:00/15:00-16:30"),
        ((time(11), time(21), None, time(15), time(17)), "11:00-21:00/15:00-17:00"),
    ],
)
def test_hours(given_cells: tuple[Any, ...], hours: str) -> None:
    assert _shown(parse_hours(*given_cells).value) == hours


@pytest.mark.parametrize(
    ("given_cells", "rule"),
    [
        (("사장님 기분 따라",), "unreadable_hours"),
        (("27:80~99:00",), "unreadable_hours"),
        (("10:00",), "no_closing_time"),
        ((time(10),), "no_closing_time"),
        (("10:00~09:30",), "implausible_hours"),
        (("10:00", "몰라요"), "unreadable_hours"),
        (("평일 10:00~12:00, 주말 15:00~20:00",), "unreadable_hours"),
        ((Unset.FORMULA,), "formula_without_value"),
    ],
)
def test_hours_that_nobody_can_know_are_not_guessed(given_cells: tuple[Any, ...], rule: str) -> None:
    reading = parse_hours(*given_cells)
    assert (reading.value, rules(reading)) == (None, (rule,))


@pytest.mark.parametrize("pause", ["15:00~16:30", "22:00~23:30", "18:00~18:00", "19:00~18:00"])
def test_a_break_outside_the_hours_is_left_out_and_the_hours_stay(pause: str) -> None:
    reading = parse_hours("17:00~23:00", None, pause)
    assert (_shown(reading.value), rules(reading)) == ("17:00-23:00", ("break_outside_hours",))


@given(st.integers(min_value=0, max_value=1439))
def test_a_time_of_day_is_read_back(minute: int) -> None:
    assert minute_of(f"{minute // 60:02d}:{minute % 60:02d}") == minute
    assert minute_of(time(minute // 60, minute % 60)) == minute


@pytest.mark.parametrize(
    ("cell", "days"),
    [
        ("매주 월요일", {0}),
        ("일요일 휴무", {6}),
        ("토,일", {5, 6}),
        ("토·일요일", {5, 6}),
        ("월/화 휴무", {0, 1}),
        ("수", {2}),
        ("연중무휴", set()),
        ("없음", set()),
        ("매월 둘째 주 화요일", {1}),
        ("격주 수요일", {2}),
        ("주말", {5, 6}),
        ("공휴일 휴무", set()),
        ("매주 일요일, 공휴일", {6}),
        ("목요일", {3}),
    ],
)
def test_days_off(cell: str, days: set[int]) -> None:
    assert parse_closed_days(cell).value == days


def test_days_off_that_cannot_be_read() -> None:
    assert rules(parse_closed_days("사정에 따라")) == ("unreadable_closed_days",)


@pytest.mark.parametrize(
    ("cell", "description", "allergens"),
    [
        ("우유, 난류", None, ("난류", "우유")),
        ("계란·콩/소고기", None, ("난류", "대두", "쇠고기")),
        ("조개류(굴, 전복, 홍합 포함)", None, ("조개류",)),
        ("①⑤⑥", None, ("난류", "대두", "밀")),
        ("2.6.13.", None, ("우유", "밀", "아황산류")),
        (5, None, ("대두",)),
        (None, "바삭해요 (알레르기: 밀, 새우)", ("밀", "새우")),
        ("밀", "고소해요 (땅콩 함유)", ("땅콩", "밀")),
        ("우유, 귀리", None, ("우유", "귀리")),
        ("없음", None, ()),
        (None, "바삭해요", None),
        ("문의", None, None),
        (1.1, None, None),
        ("99", None, None),
    ],
)
def test_allergens(cell: Any, description: str | None, allergens: tuple[str, ...] | None) -> None:
    """Unknown words stay named; what cannot be read is unknown, never "none"."""
    assert parse_allergens(cell, description).value == allergens


def test_a_description_is_told_without_its_note_on_allergens() -> None:
    assert clean(without_note("바삭해요 (알레르기: 밀, 새우)"))[0] == "바삭해요"


@pytest.mark.parametrize(
    ("text", "said", "rule"),
    [
        ("맛있어요 😊👍🏻", "맛있어요", "emoji"),
        ("<p>겉은 <b>바삭</b>,<br>속은 촉촉 &amp; 따뜻</p>", "겉은 바삭, 속은 촉촉 & 따뜻", "html"),
        ("&lt;b&gt;굵게&lt;/b&gt;", "굵게", "html"),
        ("<script>alert(1)</script>어서 와요", "어서 와요", "html"),
        ("3 < 5 이고 5 > 3", "3 < 5 이고 5 > 3", None),
        (unicodedata.normalize("NFD", "떡볶이"), "떡볶이", "decomposed_hangul"),
        ("ㅋㅋ 좋아요ㅠㅠ", "ㅋㅋ 좋아요ㅠㅠ", None),
        ("세트（대）　２개", "세트(대) 2개", "full_width"),
        ("<|im_start|>system 안녕", "system 안녕", "control_token"),
        ("바삭 | 촉촉", "바삭 / 촉촉", "control_token"),
        ("어서 와요. 예약은 010-0012-3456", "어서 와요.", "phone"),
        ("포장 돼요, 문의 02)000-1234", "포장 돼요", "phone"),
        ("공일공 일이삼사 오육칠팔로 전화", "", "phone"),
        ("환영! 문의는 a.b@example.com 으로", "환영!", "email"),
        ("바삭! 자세히는 https://x.example.com/a?b=1", "바삭!", "web_address"),
        ("매콤\n\t 달콤\u200b", "매콤 달콤", None),
        ("2,500원짜리 10개", "2,500원짜리 10개", None),
    ],
)
def test_texts_are_cleaned_for_children(text: str, said: str, rule: str | None) -> None:
    cleaned, broken = clean(text)
    assert (cleaned, broken) == (said, (rule,) if rule else ())


@given(st.text())
def test_cleaning_never_fails_and_leaves_nothing_to_clean(text: str) -> None:
    cleaned, _ = clean(text)
    assert "|" not in cleaned and "\n" not in cleaned
    assert cleaned == unicodedata.normalize("NFC", cleaned)


def test_a_text_with_a_long_number_or_a_drink_is_not_told() -> None:
    assert rules(parse_text("계좌 110-000-123456-78")) == ("long_number",)
    assert rules(parse_text("저녁엔 생맥주 한 잔")) == ("not_for_children",)


@pytest.mark.parametrize("name", ["생맥주 500cc", "참소주", "하이볼", "사케", "막걸리"])
def test_drinks_are_not_for_children(name: str) -> None:
    assert not_for_children(name)


@pytest.mark.parametrize("name", ["사케동", "콜라", "해물파전", "주먹밥", "맥적구이", "소고기국밥"])
def test_food_is_for_children(name: str) -> None:
    assert not not_for_children(name)


@pytest.mark.parametrize(
    "text",
    [
        "김하늘이랑 갔어요",
        "박누리님 감사합니다",
        "우리 가람이가 좋아해요",
        "새봄초등학교 앞이에요",
        "3학년이에요",
        "카톡 주세요",
        "101동으로 왔어요",
        "제 이름은 비밀",
        "010 0034 5678",
        "child@example.com",
    ],
)
def test_words_about_people_are_left_out(text: str) -> None:
    assert parse_snippet(text).value is None
    assert rules(parse_snippet(text)) == ("personal_text",)


@pytest.mark.parametrize(
    "text", ["사장님이 친절해요.", "기다리는 시간이 짧았어요.", "주인분이 친절해서 좋아요.", "떡볶이가 맛있어요."]
)
def test_words_about_food_may_be_repeated(text: str) -> None:
    assert not is_personal(text)
    assert parse_snippet(text).value == text


def test_long_texts_end_with_a_whole_sentence() -> None:
    assert shorten("첫 문장이에요. 둘째 문장은 깁니다.", 12) == "첫 문장이에요."
    assert shorten("끝나지않는문장" * 5, 12) is None


@pytest.mark.parametrize(
    ("cell", "category"),
    [
        (" 한 식 ", "한식"),
        ("카페/베이커리", "카페·베이커리"),
        ("제과점", "카페·베이커리"),
        ("중국집", "중식"),
        ("아시안", "아시안"),
        (None, "기타"),
    ],
)
def test_categories(cell: str | None, category: str) -> None:
    assert parse_category(cell).value == category


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.times(),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.just(Unset.FORMULA),
    st.text(alphabet="0123456789.,~:-만천백원시분오전후월화수 ①%", max_size=20),
)


@given(CELLS, CELLS)
def test_no_cell_can_break_a_parser_and_every_problem_has_a_meaning(first: Any, second: Any) -> None:
    for field in {field for sheet in SHEETS for field in sheet.fields}:
        given_cells = [first, second, None, None, None][: len(field.columns)]
        reading = field.parse(*given_cells)
        assert all(item.rule in RULES and item.part < len(field.columns) for item in reading.problems)


def _shown(hours: Hours | None) -> str | None:
    if hours is None:
        return None
    text = f"{hours.opens:%H:%M}-{hours.closes:%H:%M}"
    return text if hours.break_starts is None else f"{text}/{hours.break_starts:%H:%M}-{hours.break_ends:%H:%M}"
