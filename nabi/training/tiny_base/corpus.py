"""The base's training text, without end and always the same for a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from nabi.training.tiny_base.corpus_dialogue import Dialogue
from nabi.training.tiny_base.corpus_facts import facts_dialogue, nothing_found_dialogue, search_dialogue
from nabi.training.tiny_base.corpus_talk import copy_dialogue, talk_dialogue

HELD_OUT = "held-out"
TRAINING = "training"
TOKENIZING = "tokenizing"
COPYING = 6_000
SEARCHING = 10_000
"""The training stream opens with copying, then with finding the right item's value; each is learnt faster from many
short questions than mixed into everything, and the rest builds on them. These are the numbers at which each ends."""


def dialogues(seed: int, part: str = TRAINING) -> Iterator[Dialogue]:
    """An endless stream; `part` gives another stream of the same grammar with other fillings, for the probes."""
    rng = random.Random(f"{part}-{seed}")
    makers = (facts_dialogue, nothing_found_dialogue, talk_dialogue, copy_dialogue, search_dialogue)
    for number in itertools.count():
        yield rng.choices(makers, weights=_weights(part, number))[0](rng)


def _weights(part: str, number: int) -> tuple[int, ...]:
    if part == TRAINING and number < COPYING:
        return (12, 2, 3, 68, 15)
    if part == TRAINING and number < SEARCHING:
        return (20, 4, 6, 5, 65)
    return (70, 8, 15, 0, 7)


def make_dialogues(seed: int, num: int, part: str = TRAINING) -> list[Dialogue]:
    """The first `num` dialogues of a stream."""
    return list(itertools.islice(dialogues(seed, part), num))
