"""Silences: nothing trained, or nothing deployed, for days, and what the windows of those days said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nabi.registry.journal import Standing

_SHOWN = 3


@dataclass(frozen=True)
class Silence:
    """How long it has been quiet, and the most frequent reasons with their counts."""

    since: datetime
    num_windows: int
    reasons: tuple[tuple[str, int], ...]

    def days(self, now: datetime) -> int:
        return (now - self.since).days

    @property
    def because(self) -> str:
        return "; ".join(f"{num} × {reason}" for reason, num in self.reasons) or "no run ended"


def skipped(ended: Sequence[Standing]) -> Silence | None:
    """Since when every window was skipped; None when the last one was not.

    Args:
        ended: windows, the last to end first. What counts is when they ran, not what time they are of.
    """
    streak: list[Standing] = []
    for standing in ended:
        if standing.state != "skipped":
            break
        streak.append(standing)
    return _silence(streak[-1].finished_at, streak) if streak else None


def undeployed(ended: Sequence[Standing], last_change: datetime | None) -> Silence | None:
    """Since when nothing new went live; None before the first window.

    Args:
        last_change: when the live adapter last changed; None while there is none.
    """
    later = [one for one in ended if last_change is None or (one.finished_at and one.finished_at > last_change)]
    since = last_change or (later[-1].started_at if later else None)
    return _silence(since, later)


def _silence(since: datetime | None, windows: Sequence[Standing]) -> Silence | None:
    if since is None:
        return None
    counted = Counter(_reason(window) for window in windows)
    return Silence(since=since, num_windows=len(windows), reasons=tuple(counted.most_common(_SHOWN)))


def _reason(window: Standing) -> str:
    """Why, without the figures that differ from window to window. What an error said is not repeated."""
    if window.state == "failed":
        return f"failed ({window.figures.get('kind', 'unknown')})"
    return re.sub(r"[+-]?\d+(?:[.,]\d+)*", "…", window.sentence)
