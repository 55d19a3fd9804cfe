"""Moments as the standard library keeps them, whoever hands them out."""

from __future__ import annotations

from datetime import UTC, datetime


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, as a `datetime` and nothing else.

    Prefect hands out pendulum's subclass: one that was brought to `datetime.UTC` loses its zone when a span is
    subtracted from it.

    Raises:
        ValueError: the moment has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError("the time has no zone; write it as 2026-07-01T09:00:00+09:00")
    there = moment.astimezone(UTC)
    return datetime.combine(there.date(), there.time(), UTC)
