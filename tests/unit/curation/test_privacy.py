"""The prefilter over many texts at once, and over a conversation in one text, misses nothing that it sees in one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from nabi.curation.pii.prefilter import needs_look, which_need_a_look

LABELLED = Path(__file__).parents[2] / "data" / "pii" / "seen.jsonl"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return [json.loads(row)["text"] for row in LABELLED.read_text(encoding="utf-8").splitlines()][::4]


def test_a_block_needs_the_looks_that_its_texts_need(lines: list[str]) -> None:
    expected = [place for place, line in enumerate(lines) if needs_look(line)]
    assert which_need_a_look(lines) == expected
    chosen = random.Random(7)
    for _round in range(50):
        some = [chosen.choice(lines) for _line in range(chosen.randrange(12))]
        assert which_need_a_look(some) == [place for place, line in enumerate(some) if needs_look(line)]


def test_what_needs_a_look_alone_needs_it_between_other_texts(lines: list[str]) -> None:
    for line in lines:
        if needs_look(line):
            assert needs_look(f"배고파요\n{line}\n해맑은분식 어때요?")
