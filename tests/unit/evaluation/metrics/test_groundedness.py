"""Grounded in what was given: what counts, what is invented, what is passed on."""

from __future__ import annotations

import pytest

from nabi.conversations.records import Fact
from nabi.errors import DataError
from nabi.evaluation.claims import Given, Vocabulary, build_vocabulary
from nabi.evaluation.metrics.groundedness import Groundedness

TTEOK: Fact = {"가게": "해맑은분식", "메뉴": "떡볶이", "가격": "4,500원", "착한가게": "예"}
GIMBAP: Fact = {"가게": "별빛식당", "메뉴": "참치김밥", "가격": "3,000원", "착한가게": "아니요"}
REFERENCE = "해맑은분식에서 떡볶이 4,500원 어때요?"


def measure(
    answer: str,
    reference: str = REFERENCE,
    facts: tuple[Fact, ...] = (TTEOK,),
    turns: str = "떡볶이 먹고 싶어",
    *,
    vocabulary: Vocabulary | None = None,
    earlier_answer: str = "",
) -> dict[str, float]:
    """One answer's row."""
    result = Groundedness().compute(
        predictions=[answer],
        references=[reference],
        turns=[f"{turns}\n{earlier_answer}"],
        asked=[turns],
        facts=[[[{"label": label, "value": value} for label, value in fact.items()] for fact in facts]],
        vocabulary=vocabulary or Vocabulary(),
    )
    return result["per_sample"][0]


def test_saying_what_the_reference_says_is_fully_grounded():
    assert measure(REFERENCE) == {"grounded": 1.0, "precision": 1.0, "recall": 1.0}


@pytest.mark.parametrize("price", ["4500원", "4,500 원", "4천5백원", "사천오백 원"])
def test_the_price_may_be_written_otherwise(price):
    assert measure(f"해맑은분식 떡볶이 {price}이에요")["grounded"] == 1.0


def test_an_invented_price_is_not_grounded():
    row = measure("해맑은분식에서 떡볶이 5,000원 어때요?")
    assert row["precision"] == pytest.approx(2 / 3)
    assert row["recall"] == pytest.approx(1 / 2)
    assert row["grounded"] == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))


def test_a_price_from_the_question_is_no_invention():
    assert measure("5천원으로 해맑은분식 떡볶이 4,500원 돼요", turns="5,000원 있어")["precision"] == 1.0


def test_a_price_of_another_item_is_not_grounded():
    """Both prices stand in the facts, but not beside these dishes."""
    facts = (TTEOK, GIMBAP)
    reference = "떡볶이 4,500원, 참치김밥 3,000원이에요"
    swapped = measure("떡볶이 3,000원, 참치김밥 4,500원이에요", reference, facts)
    assert measure(reference, reference, facts)["precision"] == 1.0
    assert swapped["precision"] == pytest.approx(2 / 4)


def test_a_shop_known_from_other_prompts_is_an_invention_here():
    vocabulary = Vocabulary(names=frozenset({"행복식당"}))
    assert measure("행복식당에서 먹어요", vocabulary=vocabulary)["precision"] == 0.0
    assert measure("행복식당에서 먹어요", turns="행복식당 갈까?", vocabulary=vocabulary)["precision"] == 1.0


def test_a_garbled_shop_is_an_invention():
    row = measure("해밝은분식에서 떡볶이 4,500원 어때요?")
    assert row["precision"] == pytest.approx(2 / 3)
    assert row["recall"] == pytest.approx(1 / 2)


def test_a_longer_dish_is_not_the_dish_of_the_facts():
    fact = {"가게": "별빛식당", "메뉴": "김밥", "가격": "3,000원"}
    row = measure("별빛식당 참치김밥 3,000원이요", "별빛식당 김밥 3,000원이요", (fact,), "뭐 먹지?")
    assert row["precision"] == pytest.approx(2 / 3)
    assert row["recall"] == pytest.approx(2 / 3)


def test_an_empty_answer_is_not_grounded():
    assert measure("   ")["grounded"] == 0.0


def test_claiming_nothing_where_facts_were_to_be_passed_on_is_not_grounded():
    assert measure("맛있게 드세요!") == {"grounded": 0.0, "precision": 1.0, "recall": 0.0}


def test_small_talk_is_grounded_where_the_reference_takes_nothing_either():
    assert measure("고마워요!", reference="별말씀을요!") == {"grounded": 1.0, "precision": 1.0}


@pytest.mark.parametrize("answer", ["아직 못 찾았어요.", "잘 모르겠습니다.", "그런 가게는 없어요."])
def test_without_facts_an_honest_answer_is_grounded(answer):
    assert measure(answer, "죄송해요, 못 찾았어요.", facts=())["grounded"] == 1.0


@pytest.mark.parametrize("answer", ["떡볶이 4,500원이에요!", "네, 있어요!"])
def test_without_facts_pretending_is_not_grounded(answer):
    assert measure(answer, "죄송해요, 못 찾았어요.", facts=())["grounded"] == 0.0


def test_not_knowing_is_no_way_out_where_facts_were_given():
    assert measure("잘 모르겠어요.")["grounded"] == 0.0


@pytest.mark.parametrize(
    ("answer", "precision"),
    [
        ("착한가게예요!", 1.0),
        ("착한 가게예요!", 1.0),
        ("착한가게는 아니에요.", 0.0),
    ],
)
def test_a_trait_must_agree_with_the_facts(answer, precision):
    assert measure(answer)["precision"] == precision


def test_a_trait_belongs_to_the_shop_that_is_spoken_of():
    facts = (TTEOK, GIMBAP)
    assert measure("별빛식당은 착한가게예요", facts=facts)["precision"] == pytest.approx(1 / 2)
    assert measure("별빛식당은 착한가게가 아니에요", facts=facts)["precision"] == 1.0


def test_a_trait_that_no_fact_speaks_of_is_an_invention_unless_left_open():
    vocabulary = Vocabulary(traits=frozenset({"배달"}))
    assert measure("배달돼요!", vocabulary=vocabulary)["precision"] == 0.0
    assert measure("배달은 가게에 물어봐 주세요.", vocabulary=vocabulary)["precision"] == 1.0


def test_a_label_with_a_list_is_no_trait_though_it_is_one_elsewhere():
    fact = {"메뉴": "치킨너겟", "알레르기": "밀, 닭고기"}
    vocabulary = Vocabulary(traits=frozenset({"알레르기"}))
    assert measure("치킨너겟의 알레르기는 밀이에요", facts=(fact,), vocabulary=vocabulary)["precision"] == 1.0


def test_a_closing_time_may_be_said_in_words():
    fact = {"가게": "해맑은분식", "영업시간": "11:00~21:00"}
    row = measure("해맑은분식은 밤 9시까지예요", "해맑은분식은 21:00까지예요", (fact,), "몇 시까지 해?")
    assert row["grounded"] == 1.0
    assert measure("해맑은분식은 8시까지예요", facts=(fact,))["precision"] == pytest.approx(1 / 2)


def test_what_an_earlier_answer_said_must_be_said_again_when_asked_for():
    """ "그거 얼마야?" is not answered by leaving out the price that stood above."""
    earlier = "해맑은분식에서 떡볶이 4,500원 어때요?"
    assert measure("맛있겠죠?", "4,500원이에요", turns="그거 얼마야?", earlier_answer=earlier)["grounded"] == 0.0
    assert measure("4,500원이에요", "4,500원이에요", turns="그거 얼마야?", earlier_answer=earlier)["grounded"] == 1.0


def test_repeating_a_claim_does_not_pay():
    once = measure("해맑은분식 9,900원이요")
    assert measure("해맑은분식, 해맑은분식, 해맑은분식 9,900원이요") == once


def test_words_of_the_references_are_no_claims():
    """ "우유" is a fact in one prompt and an ordinary word in the reference of another."""
    allergy = Given(({"알레르기": "우유"},), "뭐 들어가?", "뭐 들어가?")
    menu = Given((TTEOK,), "뭐 먹지?", "뭐 먹지?")
    full = build_vocabulary([("우유가 들어가요", allergy), (REFERENCE, menu)])
    ordinary = build_vocabulary([("우유가 들어가요", allergy), ("떡볶이랑 우유 어때요?", menu)])
    assert "우유" in full.names
    assert "우유" not in ordinary.names
    assert full.traits == {"착한가게"}


def test_the_mean_is_over_all_samples_and_recall_over_those_that_have_one():
    entries = [[{"label": label, "value": value} for label, value in TTEOK.items()]]
    result = Groundedness().compute(
        predictions=[REFERENCE, "고마워요"],
        references=[REFERENCE, "별말씀을요"],
        turns=["떡볶이", "고마워"],
        asked=["떡볶이", "고마워"],
        facts=[entries, entries],
        vocabulary=Vocabulary(),
    )
    assert result["grounded"] == 1.0
    assert [set(row) for row in result["per_sample"]] == [
        {"grounded", "precision", "recall"},
        {"grounded", "precision"},
    ]


def test_nothing_to_measure_is_an_error():
    with pytest.raises(DataError, match="no answers"):
        Groundedness().compute(predictions=[], references=[], turns=[], asked=[], facts=[], vocabulary=Vocabulary())
