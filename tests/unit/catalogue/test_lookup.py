"""What a child asks, and the facts that come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from nabi.catalogue.intents import prices_in
from nabi.catalogue.lookup import LOCAL_TIME, Lookup, find_facts, is_open
from nabi.catalogue.model import Catalogue, Hours, Shop
from nabi.conversations.records import Fact, Message
from nabi.errors import DataError

Ask = Callable[..., Lookup]
WEDNESDAY_NOON = datetime(2026, 7, 1, 12, tzinfo=LOCAL_TIME)


@pytest.fixture
def ask(town: Catalogue) -> Ask:
    """Asks the town: `history` alternates user and assistant, beginning with the user."""

    def find(
        question: str, *, now: datetime = WEDNESDAY_NOON, limit: int = 8000, history: tuple[str, ...] = ()
    ) -> Lookup:
        turns = [Message(role="assistant" if n % 2 else "user", content=text) for n, text in enumerate(history)]
        return find_facts(town, question, turns, now, limit)

    return find


def shop_of(fact: Fact) -> str:
    return fact["가게"]


def shops(lookup: Lookup) -> list[str]:
    return [shop_of(fact) for fact in lookup.facts]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("분식 먹고 싶어", "category"),
        ("치킨집 알려줘", "category"),
        ("떡볶이 먹고 싶어요", "menu"),
        ("떡복이 파는 데 있어?", "menu"),
        ("랍스터 먹고 싶어", "menu"),
        ("5천원으로 뭐 먹지", "budget"),
        ("급식카드 한도로 먹을 거 있어요?", "budget"),
        ("지금 문 연 데 있어?", "time"),
        ("점심 뭐 먹지", "time"),
        ("밤 9시까지 하는 곳 알려줘", "time"),
        ("착한가게 알려 주세요", "trait"),
        ("인기 메뉴 뭐야", "best"),
        ("배고파", "best"),
        ("매운 거 먹고 싶어", "best"),
        ("우유 알레르기 있는데 뭐 먹어", "allergy"),
        ("쓸 수 있는 쿠폰 있어?", "coupon"),
        ("떡볶이 배달돼요?", "delivery"),
        ("안녕", "smalltalk"),
        ("고마워 잘 먹었어", "smalltalk"),
        ("숙제 도와줘", "unknown"),
    ],
)
def test_question_is_understood_as_its_kind(question: str, kind: str, ask: Ask) -> None:
    assert ask(question).kind == kind


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("5,000원 이하", [5000]),
        ("5000원으로", [5000]),
        ("5천원", [5000]),
        ("5천 원", [5000]),
        ("오천원 있어", [5000]),
        ("8천 밑으로", [8000]),
        ("만원 이하", [10000]),
        ("만 오천원", [15000]),
        ("1만5천원", [15000]),
        ("3천5백원짜리", [3500]),
        ("추천해줘 천천히 하나만 원해", []),
        ("4500 이하", [4500]),
    ],
)
def test_prices_are_read_as_children_write_them(text: str, amounts: list[int]) -> None:
    assert prices_in(text) == amounts


def test_shop_name_is_not_taken_for_its_category(ask: Ask) -> None:
    """해맑은분식 names one shop; the 분식 in it asks for none of the others."""
    assert set(shops(ask("해맑은분식 대표메뉴 뭐야?"))) == {"해맑은분식"}


def test_sold_out_dish_is_never_a_fact(ask: Ask) -> None:
    assert ask("어묵탕 먹고 싶어") == Lookup("menu", ())


def test_closed_shops_are_left_out(ask: Ask) -> None:
    """On Wednesday 새싹떡볶이 rests, so of the two 떡볶이 shops only the other is left."""
    assert "새싹떡볶이" not in shops(ask("떡볶이 먹고 싶어"))
    assert "새싹떡볶이" in shops(ask("떡볶이 먹고 싶어", now=WEDNESDAY_NOON + timedelta(days=1)))


def test_shop_on_its_break_counts_as_closed(ask: Ask) -> None:
    assert shops(ask("비빔밥 먹고 싶어", now=WEDNESDAY_NOON.replace(hour=14, minute=59))) == ["느린거북밥상"]
    assert shops(ask("비빔밥 먹고 싶어", now=WEDNESDAY_NOON.replace(hour=15))) == []


def test_opening_hours_are_compared_in_local_time(ask: Ask) -> None:
    """03:00 in UTC is noon in Korea."""
    assert ask("분식 먹고 싶어", now=datetime(2026, 7, 1, 3, tzinfo=UTC)) == ask("분식 먹고 싶어")


def test_time_without_zone_is_refused(ask: Ask) -> None:
    with pytest.raises(DataError, match="zone"):
        ask("떡볶이", now=datetime(2026, 7, 1, 12))


def test_holiday_after_midnight_is_that_of_the_evening_before() -> None:
    """A bar-like shop that rests on Thursdays still serves at 01:00 on Thursday, and not at 01:00 on Friday."""
    shop = Shop("x", "밤가게", "치킨", hours=Hours(time(15), time(2)), closed_days=frozenset({3}))
    thursday = datetime(2026, 7, 2, 1, tzinfo=LOCAL_TIME)
    assert is_open(shop, thursday)
    assert not is_open(shop, thursday + timedelta(days=1))


def test_shop_with_unknown_hours_is_not_recommended(ask: Ask) -> None:
    assert ask("돈까스도시락 먹고 싶어").facts == ()


def test_dish_without_price_is_not_a_fact(ask: Ask) -> None:
    assert "시가도시락" not in str(ask("시가도시락 있어?"))


@pytest.mark.parametrize("question", ["막걸리 있어?", "생맥주 먹고 싶어", "한식 먹고 싶어", "치킨집 알려줘"])
def test_nothing_that_is_not_for_children(question: str, ask: Ask) -> None:
    evening = WEDNESDAY_NOON.replace(hour=18)
    assert not any(word in str(ask(question, now=evening).facts) for word in ("막걸리", "맥주"))


@pytest.mark.parametrize(
    ("question", "most"), [("4천원 이하 추천해줘", 4000), ("만원으로 먹을 거", 8000), ("한식 추천", 8000)]
)
def test_no_fact_is_above_budget_or_daily_limit(question: str, most: int, ask: Ask) -> None:
    found = ask(question).facts
    assert found
    assert all(int(fact["가격"].replace(",", "").strip("원")) <= most for fact in found)


def test_cheapest_comes_first_when_something_cheap_is_wanted(ask: Ask) -> None:
    assert ask("제일 싼 거 알려줘").facts[0]["가격"] == "1,300원"


def test_good_influence_shop_comes_first(ask: Ask) -> None:
    thursday = WEDNESDAY_NOON + timedelta(days=1)
    assert shops(ask("분식 추천해줘", now=thursday))[0] == "해맑은분식"
    assert ask("분식 추천해줘", now=thursday).facts[0]["착한가게"] == "예"


def test_dish_of_exactly_that_name_comes_before_one_that_holds_it(ask: Ask) -> None:
    assert [fact["메뉴"] for fact in ask("라면 먹고 싶어").facts] == ["라면", "컵라면"]


def test_ties_fall_differently_for_different_words_but_always_the_same_for_the_same(ask: Ask) -> None:
    first = {shops(ask(f"맛있는 거 추천해줘{'!' * n}"))[0] for n in range(12)}
    assert len(first) > 1
    assert ask("맛있는 거 추천해줘") == ask("맛있는 거 추천해줘")


def test_facts_are_at_most_three_places_with_at_most_five_labels(ask: Ask) -> None:
    for question in (
        "분식 추천",
        "5천원 이하",
        "착한가게 알려줘",
        "지금 열린 곳",
        "인기 메뉴",
        "배달 되는 곳",
        "쿠폰 있어?",
    ):
        found = ask(question).facts
        assert 1 <= len(found) <= 3
        assert len({fact["가게"] for fact in found}) == len(found)
        assert all(len(fact) <= 5 for fact in found)


@pytest.mark.parametrize(
    ("question", "labels"),
    [
        ("중식 먹고 싶어", ["가게", "분류", "메뉴", "가격"]),
        ("짜장면 먹고 싶어", ["가게", "메뉴", "가격"]),
        ("지금 열린 중식집 있어?", ["가게", "영업시간", "메뉴", "가격"]),
        ("착한가게 알려줘", ["가게", "메뉴", "가격", "착한가게", "사장님 말씀"]),
        ("중식 인기 메뉴 뭐야", ["가게", "대표메뉴", "가격"]),
        ("쿠폰 있어?", ["쿠폰", "할인", "가게"]),
        ("짜장면에 밀 들어 있어?", ["가게", "메뉴", "알레르기", "주의"]),
        ("은하수반점 배달돼?", ["가게", "배달", "배달비", "영업시간"]),
    ],
)
def test_facts_carry_only_the_labels_of_their_kind(question: str, labels: list[str], ask: Ask) -> None:
    assert list(ask(question).facts[0]) == labels


def test_open_until_the_hour_that_is_named(ask: Ask) -> None:
    late = ask("밤 10시까지 하는 햄버거집 있어?", now=WEDNESDAY_NOON.replace(hour=18))
    assert shops(late) == ["꼬마버거"]


FIRST = ("분식 먹고 싶어", "해맑은분식에서 떡볶이 4,500원 어때요? 착한가게예요! 😊")


def test_follow_up_asks_for_the_hours_of_the_shop_that_was_named(ask: Ask) -> None:
    expected = Lookup("followup", ({"가게": "해맑은분식", "영업시간": "10:00~21:00"},))
    assert ask("거긴 몇 시까지 해?", history=FIRST) == expected


@pytest.mark.parametrize("hour", [0, 6, 12, 23])
def test_a_named_shop_tells_its_hours_before_it_opens_and_after_it_closed(hour: int, ask: Ask) -> None:
    now = WEDNESDAY_NOON.replace(hour=hour)
    for found in (ask("거긴 몇 시까지 해?", history=FIRST, now=now), ask("해맑은분식 영업시간 알려줘", now=now)):
        assert [(shop_of(fact), fact["영업시간"]) for fact in found.facts] == [("해맑은분식", "10:00~21:00")]


def test_a_named_shop_tells_no_hours_on_its_day_off_nor_where_now_is_asked(ask: Ask) -> None:
    history = ("떡볶이 먹고 싶어", "새싹떡볶이에서 떡볶이 4,000원 어때요?")
    assert ask("거긴 몇 시까지 해?", history=history).facts == ()  # Wednesday
    assert ask("거긴 몇 시까지 해?", history=history, now=WEDNESDAY_NOON + timedelta(days=1)).facts != ()
    assert ask("거기 지금도 해? 몇 시까지?", history=FIRST, now=WEDNESDAY_NOON.replace(hour=23)).facts == ()


def test_follow_up_asks_for_something_cheaper_of_the_same_kind(ask: Ask) -> None:
    found = ask("더 싼 거 있어?", history=FIRST)
    assert found.kind == "followup"
    assert sorted(found.facts, key=shop_of) == [
        {"가게": "도담김밥", "메뉴": "야채김밥", "가격": "3,000원"},
        {"가게": "해맑은분식", "메뉴": "참치김밥", "가격": "4,000원"},
    ]


def test_follow_up_asks_for_another_shop(ask: Ask) -> None:
    found = ask("다른 데는 없어?", history=FIRST)
    assert found.kind == "followup"
    assert "해맑은분식" not in shops(found)
    assert shops(found)


def test_follow_up_keeps_the_budget_of_the_question_before(ask: Ask) -> None:
    history = ("3천원 이하 추천해줘", "다온편의점의 컵라면, 1,500원이면 돼요! 냠냠 어때요? 😋")
    prices = [fact["가격"] for fact in ask("다른 데도 알려줘", history=history).facts]
    assert prices
    assert all(int(price.replace(",", "").strip("원")) <= 3000 for price in prices)


def test_follow_up_asks_for_price_and_other_dishes(ask: Ask) -> None:
    assert ask("그거 얼마야?", history=FIRST).facts[0]["메뉴"] == "떡볶이"
    other = ask("거기 다른 메뉴 뭐 있어?", history=FIRST).facts
    assert {fact["메뉴"] for fact in other} == {"치즈떡볶이", "참치김밥"}


def test_there_can_be_no_follow_up_without_a_shop_before(ask: Ask) -> None:
    assert ask("더 싼 거 있어?").kind != "followup"
    assert ask("더 싼 거 있어?", history=("안녕", "안녕하세요! 나비얌이에요! 😊")).kind != "followup"


def test_new_dish_after_an_answer_is_a_new_question(ask: Ask) -> None:
    assert ask("짜장면 먹고 싶어", history=FIRST).kind == "menu"


def test_allergy_question_about_a_dish_tells_what_it_holds_and_warns(ask: Ask) -> None:
    milk = {"가게": "해맑은분식", "메뉴": "치즈떡볶이", "알레르기": "밀, 대두, 우유", "주의": "우유"}
    assert ask("치즈떡볶이에 우유 들어가?").facts == (milk,)
    assert ask("나 우유 알레르기 있는데 치즈떡볶이 먹어도 돼?").facts == (milk,)
    assert "주의" not in ask("치즈떡볶이에 땅콩도 들어가?").facts[0]


@pytest.mark.parametrize(
    ("spoken", "listed"),
    [("우유", "우유"), ("계란", "난류"), ("밀가루", "밀"), ("콩", "대두"), ("새우", "새우"), ("소고기", "쇠고기")],
)
@pytest.mark.parametrize(
    "question",
    [
        "{} 알레르기 있는데 뭐 먹을 수 있어?",
        "분식 중에 {} 못 먹는 사람이 먹을 거 있나요",
        "{} 알레르기 있으면 떡볶이 어디가 괜찮아?",
    ],
)
def test_nothing_with_the_allergen_is_offered_as_a_choice(ask: Ask, spoken: str, listed: str, question: str) -> None:
    found = ask(question.format(spoken))
    assert found.kind == "allergy"
    assert all(listed not in fact["알레르기"].split(", ") for fact in found.facts)


def test_what_a_child_cannot_eat_is_not_always_an_allergy(ask: Ask) -> None:
    assert ask("매운 거 못 먹는데 분식 추천해줘").kind == "category"


def test_dish_whose_allergens_are_unknown_is_not_called_free_of_them(ask: Ask) -> None:
    assert ask("짬뽕에 새우 들어 있어?").facts == ()
    assert ask("레몬에이드에 우유 들어 있어?").facts[0]["알레르기"] == "없음"


def test_coupon_names_value_and_a_place_where_it_is_valid(ask: Ask) -> None:
    facts = ask("해맑은분식 쿠폰 있어?").facts
    assert facts == ({"쿠폰": "든든 한 끼 쿠폰", "할인": "1,000원", "가게": "해맑은분식"},)
    assert ask("도담김밥 쿠폰 있어?").facts == ()


def test_coupon_of_a_dish_is_found_by_the_dish(ask: Ask) -> None:
    assert [fact["쿠폰"] for fact in ask("소금빵 쿠폰 있어요?").facts] == ["달콤 쿠폰"]


def test_delivery_tells_the_fee_and_says_no_only_of_a_shop_that_was_named(ask: Ask) -> None:
    assert ask("새싹떡볶이 배달돼?").facts == (
        {"가게": "새싹떡볶이", "배달": "가능", "배달비": "무료", "영업시간": "11:00~22:00"},
    )
    assert ask("도담김밥 배달돼?").facts == ({"가게": "도담김밥", "배달": "불가"},)
    assert all(fact["배달"] == "가능" for fact in ask("배달되는 곳 알려줘").facts)


def test_delivery_of_the_shop_before_is_a_delivery_question(ask: Ask) -> None:
    found = ask("거기 배달돼요?", history=FIRST)
    assert (found.kind, shops(found)) == ("delivery", ["해맑은분식"])


def test_open_shops_come_first_where_one_may_order(ask: Ask) -> None:
    """At noon 폴짝치킨 and 새싹떡볶이 are closed: they come last, and their hours say when one may order."""
    assert not {"폴짝치킨", "새싹떡볶이"} & set(shops(ask("배달되는 곳 알려줘")))
    assert ask("배달되는 치킨집 있어?").facts == (
        {"가게": "폴짝치킨", "배달": "가능", "배달비": "2,500원", "영업시간": "15:00~02:00"},
    )


def test_information_is_given_at_any_hour_but_not_for_now(ask: Ask) -> None:
    night = WEDNESDAY_NOON.replace(hour=3)
    assert ask("해맑은분식 배달돼?", now=night).facts
    assert not ask("지금 해맑은분식 배달돼?", now=night).facts


def test_small_talk_and_the_unknown_bring_no_facts(ask: Ask) -> None:
    assert ask("안녕").facts == ask("숙제 도와줘").facts == ()


def test_courtesies_and_other_spellings_do_not_hide_the_dish(ask: Ask) -> None:
    thursday = WEDNESDAY_NOON + timedelta(days=1)
    assert shops(ask("저기 혹시 등심돈가스가 있을까요", now=thursday)) == ["종달새돈까스"]


def test_catalogue_is_searched_as_it_is_now(ask: Ask, town: Catalogue) -> None:
    """A second catalogue with the dish sold out gives other facts: nothing is remembered from the first."""
    sold_out = tuple(replace(m, is_sold_out=True) if m.name == "짜장면" else m for m in town.menus)
    other = replace(town, menus=sold_out)
    assert ask("짜장면 먹고 싶어").facts
    assert not find_facts(other, "짜장면 먹고 싶어", (), WEDNESDAY_NOON, 8000).facts
