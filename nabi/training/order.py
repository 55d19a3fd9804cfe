"""In which order an epoch meets its samples: at random, but batches hold samples of similar length.

Rows of one batch are padded to the longest of them, never to a maximum. Sorting within stretches of some batches keeps
the padding small and the epochs different; the longest sample of all comes in the first batch, so that a batch too
large for the memory fails in the first step and not in the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

# Stretches that are sorted by length: a quarter of the dataset, at most so many batches.
_MAX_BATCHES_SORTED = 50


def epoch_order(lengths: Sequence[int], batch_size: int, random: torch.Generator) -> list[int]:
    """The places of all samples in the order of one epoch; every call draws another order from `random`.

    The orders are those of transformers' `Trainer` with `group_by_length` and the same seed, to the last sample.

    Args:
        lengths: tokens of each sample.
        batch_size: samples of one step, whose lengths should be alike.
    """
    # torch's DataLoader draws a number for its workers before each epoch. Drawing it here too keeps adapters
    # bit-equal to those that were trained through it.
    torch.empty((), dtype=torch.int64).random_(generator=random)
    stretch = batch_size * max(1, min(len(lengths) // (batch_size * 4), _MAX_BATCHES_SORTED))
    places = torch.randperm(len(lengths), generator=random).tolist()
    stretches = [
        sorted(places[start : start + stretch], key=lambda place: lengths[place], reverse=True)
        for start in range(0, len(places), stretch)
    ]
    longest = max(range(len(stretches)), key=lambda number: lengths[stretches[number][0]])
    stretches[0][0], stretches[longest][0] = stretches[longest][0], stretches[0][0]
    return [place for piece in stretches for place in piece]
