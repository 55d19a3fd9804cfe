"""Parts of a batch that are computed side by side on a CPU, each by a thread of its own.

Left to itself torch splits every single operation over the cores, and they wait for each other at its end. On a small
base, whose operations take microseconds, two cores then train 1.1 times as fast as one. Halves of a batch wait for each
other once a step: 2.1 times, and a core that is busy elsewhere holds the other one up less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class SideBySide:
    """Computes parts at the same time, or one after the other without a pool."""

    def __init__(self, num: int, pool: ThreadPoolExecutor | None) -> None:
        self._num = num
        self._pool = pool

    def parts(self, rows: Sequence[T], size: Callable[[T], int]) -> list[list[T]]:
        """The rows in as many parts as are computed at once, each with long and short ones; fewer where rows lack."""
        ordered = sorted(rows, key=size, reverse=True)
        return [ordered[first :: self._num] for first in range(min(self._num, len(rows)))]

    def map(self, compute: Callable[[T], R], parts: Sequence[T]) -> list[R]:
        """What `compute` makes of each part, in the parts' order."""
        return list(self._pool.map(compute, parts) if self._pool and len(parts) > 1 else map(compute, parts))


@contextmanager
def side_by_side(device: str, rows: int) -> Iterator[SideBySide]:
    """On a CPU as many parts as torch has threads, but no more than `rows`; on a GPU, which is fed best whole, one.

    torch's threads are shared out among the parts while the context lasts. What a part sets for its thread alone
    (autocast, inference mode) it must set itself.
    """
    threads = torch.get_num_threads()
    num = min(threads, rows) if device == "cpu" else 1
    if num < 2:
        yield SideBySide(1, None)
        return
    with ThreadPoolExecutor(num, "part-", initializer=torch.set_num_threads, initargs=(threads // num,)) as pool:
        try:
            yield SideBySide(num, pool)
        finally:
            # New threads begin with the number that was set last, whichever thread set it.
            torch.set_num_threads(threads)
