"""The figures that masking has to reach, on the half of the labelled set it was tuned with."""

from __future__ import annotations

from pathlib import Path

import pytest

from nabi.curation.pii.measure import Score, measure, read_lines

DATA = Path(__file__).parents[2] / "data" / "pii"
NUMBERS = ("주민등록번호", "외국인등록번호", "카드번호", "전화번호", "계좌번호")


@pytest.fixture(scope="module")
def score() -> Score:
    """All lines by hand and every third by grammar: a few seconds."""
    lines = read_lines(DATA / "seen.jsonl")
    return measure([line for place, line in enumerate(lines) if line.origin == "hand" or place % 3 == 0])


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_masked_or_set_apart_in_99_of_100_lines(score: Score, kind: str) -> None:
    tally = score.kinds[kind]
    assert tally.secrets >= 50
    assert tally.safe / tally.secrets >= 0.99


@pytest.mark.parametrize("kind", ["이름", "주소", "이메일", "면허번호", "여권번호", "차량번호", "생년월일", "아이디"])
def test_names_addresses_and_the_others_are_masked_in_90_of_100_lines(score: Score, kind: str) -> None:
    tally = score.kinds[kind]
    assert tally.secrets >= 50
    assert tally.masked / tally.secrets >= 0.9


def test_two_of_a_hundred_clean_lines_at_most_are_touched(score: Score) -> None:
    assert score.clean >= 400
    assert score.touched / score.clean <= 0.02


def test_each_half_has_sentences_of_its_own() -> None:
    seen, unseen = ({line.text for line in read_lines(DATA / f"{half}.jsonl")} for half in ("seen", "unseen"))
    assert len(seen) > 3000
    assert len(unseen) > 3000
    assert not seen & unseen
