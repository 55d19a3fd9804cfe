"""Waiting in tests until something holds, with a patience that no busy machine uses up.

How long something takes is measured in benchmarks, never by a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 120.0


def wait_for(look: Callable[[], T | None], what: str = "", seconds: float = PATIENCE_S, look_every: float = 0.05) -> T:
    """Looks again and again; what it found, as soon as that is true in Python's sense."""
    begun = time.monotonic()
    while not (found := look()):
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(look_every)
    return found


def wait_until(
    holds: Callable[[], object], seconds: float = PATIENCE_S, what: str = "", look_every: float = 0.2
) -> float:
    """The same; how many seconds it took."""
    begun = time.monotonic()
    wait_for(holds, what, seconds, look_every)
    return time.monotonic() - begun
