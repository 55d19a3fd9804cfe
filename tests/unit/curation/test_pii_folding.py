"""The text as recognisers read it, and the way back."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nabi.curation.pii.folding import HOLE, fold


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("０１０－１２３４", "010-1234"),
        (unicodedata.normalize("NFD", "한글"), "한글"),
        ("ㅋㅋ ㅠㅠ", "ㅋㅋ ㅠㅠ"),
        ("1\u200b2\ufeff3", "123"),
        ("1️⃣2️⃣", "12"),
        ("٣𝟘", "30"),
        ("a\u00a0–\u3000b", "a - b"),
        ("<이름>님", f"{HOLE}님"),
    ],
)
def test_each_sign_is_read_in_one_way(written: str, read: str) -> None:
    assert fold(written).text == read


@given(st.text())
def test_every_sign_read_stands_where_it_says_and_in_order(text: str) -> None:
    folded = fold(text)
    assert len(folded.text) == len(folded.starts) == len(folded.ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(folded.starts, folded.ends, strict=True))
    assert list(folded.starts) == sorted(folded.starts)


def test_a_hole_that_somebody_types_is_not_taken_for_a_masked_secret() -> None:
    assert HOLE not in fold(f"a{HOLE}b").text
