"""Names of the facts in running Korean."""

from __future__ import annotations

import pytest

from nabi.evaluation.names import find_mentions, garbled_names, items_of, names_in

NAMES = {"김밥", "참치김밥", "해맑은분식", "매운 떡볶이"}


def said(text: str, names: set[str] = NAMES) -> list[str]:
    return [mention.name for mention in find_mentions(text, names)]


@pytest.mark.parametrize("text", ["김밥", "김밥은 어때요?", "김밥이에요!", "김밥이랑 물", "(김밥)", "김밥집이에요"])
def test_a_name_counts_with_particles_behind_it(text):
    assert said(text) == ["김밥"]


def test_a_name_inside_a_longer_one_does_not_count():
    assert said("참치김밥은 어때요?") == ["참치김밥"]
    assert said("참치김밥은 어때요?", {"김밥"}) == []
    assert said("김밥천국으로 가요", {"김밥"}) == []


def test_both_count_where_both_are_said():
    assert said("김밥이랑 참치김밥이 있어요") == ["김밥", "참치김밥"]


def test_spaces_do_not_make_another_name():
    assert said("매운떡볶이가 있어요") == ["매운 떡볶이"]
    assert said("해맑은 분식에서 먹어요") == ["해맑은분식"]


@pytest.mark.parametrize(
    ("text", "garbled"),
    [
        ("해밝은분식에서 먹어요", {"해밝은분식"}),
        ("해맑은분에서 먹어요", {"해맑은분"}),
        ("해맑은분식에서 먹어요", set()),
        ("오늘도 맛있게 드세요", set()),
    ],
)
def test_a_garbled_name_is_noticed(text, garbled):
    assert garbled_names(text, find_mentions(text, NAMES), {"해맑은분식"}, "떡볶이 있어?") == garbled


def test_a_word_of_the_question_is_no_garbled_name():
    assert garbled_names("해맑음분식이요?", [], {"해맑은분식"}, "해맑음분식 알아?") == set()


def test_figures_yes_and_no_and_long_descriptions_are_no_names():
    fact = {
        "가게": "해맑은분식",
        "가격": "4,500원",
        "시간": "11:00~21:00",
        "착한가게": "예",
        "배달": "불가",
        "조건": "8,000원 이상",
        "알레르기": "우유, 밀",
        "소개": "아이들이 언제나 편하게 들러서 먹고 갈 수 있는 곳이에요",
    }
    assert names_in([fact]) == {"해맑은분식", "우유, 밀", "우유"}


def test_a_comma_inside_a_number_does_not_divide_a_value():
    assert items_of("4,500원") == ["4,500원"]
    assert items_of("우유, 밀(소량)·콩") == ["우유, 밀(소량)·콩", "우유", "밀", "소량", "콩"]


def test_the_end_of_a_name_without_its_beginning_is_garbled():
    given = "- 가게: 너나들이 주먹밥"
    assert garbled_names("나들이 주먹밥에서 먹어요", [], {"너나들이 주먹밥"}, given) == {"나들"}
    assert garbled_names("너나들이에서 먹어요", [], {"너나들이 주먹밥"}, given) == set()


def test_a_price_is_no_garbled_name():
    assert garbled_names("8000원부터예요", [], {"8,000원 이상"}, "- 조건: 8,000원 이상") == set()
