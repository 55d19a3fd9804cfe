"""The prefilter may skip Presidio because it loses nothing, on any text."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_examples import examples

from nabi.curation.pii.doubts import find_doubts
from nabi.curation.pii.engine import FAMILIES, analyse
from nabi.curation.pii.folding import fold
from nabi.curation.pii.measure import Line, read_lines
from nabi.curation.pii.prefilter import look, needs_look

DATA = Path(__file__).parents[2] / "data" / "pii"
NOISE = (
    "0123456789-. ()/~@#_*xXaoOlIMS'\"공영일이삼사오육칠팔구에씨님은는이가로길동리호읍면시구년월생저"
    "나전제카톡닉별명이름성함번호주민여권면허차량계좌은행\u200b\ufeff１ᄀ\u1161"
)
WORDS = [
    "저는 ",
    "제 이름은 ",
    "아이디 ",
    "닉네임은 ",
    "카톡 ",
    "생일 ",
    "차량번호 ",
    "주민번호 앞자리 ",
    "여권 ",
    "CVC ",
    "cvc2 ",
    "@",
    " at ",
    "골뱅이",
    "비번 ",
    "pw ",
    "김하늘",
    "이영희씨",
    "테헤란로 ",
    "101동 ",
    "1203호",
    "010",
    "공일공",
    "O1O",
    "900101",
    "t.me/",
    "my name is Kim",
]


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return [*read_lines(DATA / "seen.jsonl"), *read_lines(DATA / "unseen.jsonl")]


def is_empty_in_full(text: str) -> bool:
    """The full analysis, by all recognisers and without any trigger."""
    folded = fold(text).text
    return not analyse(folded) and not list(find_doubts(folded))


def test_where_it_says_nothing_the_full_analysis_finds_nothing_in_the_labelled_set(lines: list[Line]) -> None:
    skipped = [line.text for line in lines if not needs_look(line.text)]
    assert len(skipped) > 2500
    assert [text for text in skipped if not is_empty_in_full(text)] == []


@examples(400)
@given(
    st.lists(
        st.one_of(st.text(alphabet=NOISE, max_size=14), st.sampled_from(WORDS), st.text(max_size=8)), max_size=6
    ).map("".join)
)
def test_where_it_says_nothing_the_full_analysis_finds_nothing_in_any_text(text: str) -> None:
    assert needs_look(text) or is_empty_in_full(text)


def test_where_it_says_nothing_the_full_analysis_finds_nothing_in_generated_chat(lines: list[Line]) -> None:
    """Clean lines cut and glued at random, so that words and numbers meet that never did."""
    rng = random.Random(3)
    clean = [line.text for line in lines if not line.secrets]
    for _ in range(3000):
        first, second = rng.choice(clean), rng.choice(clean)
        text = first[: rng.randrange(len(first) + 1)] + second[rng.randrange(len(second)) :]
        assert needs_look(text) or is_empty_in_full(text)


def test_a_family_finds_nothing_where_its_trigger_sleeps(lines: list[Line]) -> None:
    for line in lines:
        text = fold(line.text).text
        for family in FAMILIES:
            asleep = not family.trigger(text) or (family.needs_digit and not any(sign in "0123456789" for sign in text))
            assert not (asleep and list(family.find(text))), (family.kind, text)


def test_only_those_recognisers_are_asked_that_can_find_something() -> None:
    assert look("hana@daum.net이에요").kinds == ("이메일",)
    assert look("떡볶이 4,500원이에요") == ((), False)
