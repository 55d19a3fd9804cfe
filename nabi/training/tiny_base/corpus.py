"""The base's training text, without end and always the same for a seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from nabi.training.tiny_base.corpus_dialogue import Dialogue
from nabi.training.tiny_base.corpus_facts import facts_dialogue, nothing_found_dialogue
from nabi.training.tiny_base.corpus_talk import copy_dialogue, talk_dialogue
from nabi.training.tiny_base.corpus_words import Dice

HELD_OUT = "held-out"
TRAINING = "training"
TOKENIZING = "tokenizing"
OPENING = 4_000
"""Dialogues at the start of the training stream that mostly ask for a copy: copying is learnt from them within a few
hundred steps, and everything over facts builds on it."""


def dialogues(seed: int, part: str = TRAINING, pieces: Sequence[str] = ()) -> Iterator[Dialogue]:
    """An endless stream.

    Args:
        part: another one gives another stream of the same grammar with other fillings, for the probes.
        pieces: words to make names of, see `Dice`.
    """
    rng = Dice(f"{part}-{seed}")
    if pieces:
        rng.pieces = tuple(pieces)
    makers = (facts_dialogue, nothing_found_dialogue, talk_dialogue, copy_dialogue)
    for number in itertools.count():
        opening = part == TRAINING and number < OPENING
        weights = (25, 2, 3, 70) if opening else (77, 8, 15, 0)
        yield rng.choices(makers, weights=weights)[0](rng)


def make_dialogues(seed: int, num: int, part: str = TRAINING, pieces: Sequence[str] = ()) -> list[Dialogue]:
    """The first `num` dialogues of a stream."""
    return list(itertools.islice(dialogues(seed, part, pieces), num))
