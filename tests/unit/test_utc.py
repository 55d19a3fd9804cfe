"""Moments in UTC, whoever hands them out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from prefect.types._datetime import now

from nabi.steps.window import Window
from nabi.utc import in_utc

WEEK = timedelta(days=7)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul"])
def test_a_time_of_prefects_keeps_its_zone_in_arithmetic(zone: str) -> None:
    theirs = now(zone)
    ours = in_utc(theirs)
    assert (type(ours), ours, ours.tzinfo) == (datetime, theirs, UTC)
    assert (ours - WEEK).tzinfo is UTC
    window = Window(persona_id="bot", as_of=theirs)
    assert window.as_of - WEEK + WEEK == theirs


def test_any_zone_becomes_utc_to_the_microsecond() -> None:
    there = datetime(2026, 7, 1, 12, 0, 0, 123456, ZoneInfo("Asia/Seoul"))
    assert in_utc(there) == datetime(2026, 7, 1, 3, 0, 0, 123456, UTC)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        in_utc(datetime(2026, 7, 1, 12))
