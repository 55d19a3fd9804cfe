"""When a meeting was, and how transcripts write times within it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from nabi.conversations.sources.fields import RowError, shown

LOCAL_ZONE = ZoneInfo("Asia/Seoul")
"""The zone of a time in a file's name, which never says one."""

LONGEST_MEETING_S = 7 * 24 * 3600
"""A segment that begins later than this after the start has a broken clock."""

# 2026-06-30_1400, 20260630T140000, 2026.06.30 14-00, or the day alone.
_IN_A_NAME = re.compile(
    r"(?<!\d)(?P<year>20\d\d)[-._]?(?P<month>[01]\d)[-._]?(?P<day>[0-3]\d)"
    r"(?:[-._ T]*(?P<hour>[0-2]\d)[-._:시]?(?P<minute>[0-5]\d)(?:[-._:분]?(?P<second>[0-5]\d))?)?(?!\d)"
)
_CLOCK = re.compile(r"(?:(?P<hours>\d{1,3}):)?(?P<minutes>[0-5]?\d):(?P<seconds>[0-5]?\d(?:[.,]\d{1,6})?)")


def moment_in_name(name: str) -> datetime | None:
    """The time that a file's name tells, in Korean time; a day alone begins at midnight. None when it tells none."""
    found = _IN_A_NAME.search(name)
    if found is None:
        return None
    numbers = {unit: int(digits) for unit, digits in found.groupdict(default="0").items()}
    try:
        return datetime(**numbers, tzinfo=LOCAL_ZONE).astimezone(UTC)
    except ValueError:  # the 31st of a short month
        return None


def seconds_of_clock(clock: str) -> float | None:
    """Seconds of 01:02:03.5, 01:02:03,500 or 02:03; None for anything else."""
    found = _CLOCK.fullmatch(clock.strip())
    if found is None:
        return None
    hours, minutes = int(found["hours"] or 0), int(found["minutes"])
    return hours * 3600 + minutes * 60 + float(found["seconds"].replace(",", "."))


def seconds(value: Any, field: str) -> float | None:
    """A time within a meeting, given as seconds or as a clock; None when there is none."""
    if value is None:
        return None
    found = seconds_of_clock(value) if isinstance(value, str) else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= LONGEST_MEETING_S:
        raise RowError(field, f"{shown(value)} is no time within a meeting; write seconds or 01:02:03.5")
    return float(found)


def hold_order(start: float | None, end: float | None) -> None:
    """Nothing ends before it starts."""
    if start is not None and end is not None and end < start:
        raise RowError("end", f"it ends at {end:g} s, before it starts at {start:g} s")
