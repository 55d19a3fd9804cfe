"""Which past windows are still to be run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from nabi.errors import ConfigError


def window_ends(start: datetime, end: datetime, every: timedelta) -> list[datetime]:
    """The ends of the windows that tile (start, end].

    Raises:
        ConfigError: the span holds no whole window.
    """
    if every <= timedelta(0):
        raise ConfigError(f"a window of {every} has no length", where="--every", fix="Write a span such as 6h.")
    num = (end - start) // every
    if num < 1:
        raise ConfigError(
            f"no whole window of {every} fits between {start} and {end}",
            where="--from/--to",
            fix="Widen the span or shorten --every.",
        )
    return [start + every * (i + 1) for i in range(num)]


def missing(
    wanted: Iterable[tuple[datetime, str]], done: Collection[tuple[datetime, str]]
) -> list[tuple[datetime, list[str]]]:
    """The windows that nobody decided or queued, each with its personas, oldest first.

    Args:
        wanted: (end of the window, persona).
        done: those that were decided, wait or run.
    """
    windows: dict[datetime, list[str]] = {}
    for as_of, persona_id in wanted:
        if (as_of, persona_id) not in done:
            windows.setdefault(as_of, []).append(persona_id)
    return sorted(windows.items())
