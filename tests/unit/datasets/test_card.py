"""What a dataset card says about lengths and parts."""

from __future__ import annotations

from nabi.datasets.card import describe_part, measure_lengths


def test_lengths_are_in_characters_and_p95_is_the_nearest_rank() -> None:
    lengths = measure_lengths("가" * size for size in range(1, 101))
    assert lengths is not None
    assert lengths.model_dump() == {"shortest": 1, "median": 50.5, "mean": 50.5, "p95": 95, "longest": 100}


def test_an_empty_part_is_described_without_inventing_figures() -> None:
    card = describe_part([], "00")
    assert (card.samples, card.question_chars, card.answer_chars, card.first_at, card.turns) == (0, None, None, None, 0)
