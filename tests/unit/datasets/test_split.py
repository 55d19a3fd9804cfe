"""A conversation's part: stable, monotone in the share, near the share asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nabi.datasets.split import part_of

ids = st.text(max_size=40)
shares = st.floats(min_value=0, max_value=1)


@given(conversation_id=ids, one=shares, other=shares, salt=st.text(max_size=10))
def test_a_larger_share_only_ever_moves_conversations_into_the_holdout(
    conversation_id: str, one: float, other: float, salt: str
) -> None:
    smaller, larger = sorted((one, other))
    if part_of(conversation_id, smaller, salt) == "holdout":
        assert part_of(conversation_id, larger, salt) == "holdout"


@given(conversation_id=ids, salt=st.text(max_size=10))
def test_the_ends_of_the_range_are_all_or_nothing(conversation_id: str, salt: str) -> None:
    assert part_of(conversation_id, 0.0, salt) == "train"
    assert part_of(conversation_id, 1.0, salt) == "holdout"


@given(known=st.lists(ids, unique=True, max_size=30), later=st.lists(ids, max_size=30))
def test_later_conversations_never_move_earlier_ones(known: list[str], later: list[str]) -> None:
    before = {c: part_of(c, 0.3, "p") for c in known}
    after = {c: part_of(c, 0.3, "p") for c in [*later, *reversed(known)]}
    assert before.items() <= after.items()


def test_parts_stay_what_they_were_when_this_was_written() -> None:
    """A change of the hash would move conversations between parts that adapters have already learned from."""
    parts = [part_of(f"c-{number}", 0.5, "nabiyam") for number in range(8)]
    assert parts == ["holdout", "holdout", "train", "train", "train", "train", "holdout", "holdout"]


def test_share_is_met_and_the_salt_decides_anew() -> None:
    conversation_ids = [f"c-{number}" for number in range(4000)]
    one = [part_of(c, 0.1, "one") for c in conversation_ids]
    two = [part_of(c, 0.1, "two") for c in conversation_ids]
    assert 340 <= one.count("holdout") <= 460
    both = sum(a == b == "holdout" for a, b in zip(one, two, strict=True))
    assert both < 80
