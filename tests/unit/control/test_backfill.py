from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nabi.control.backfill import missing, window_ends
from nabi.errors import ConfigError

START = datetime(2026, 7, 1, tzinfo=UTC)
SIX = timedelta(hours=6)


def test_windows_tile_the_span_and_a_remainder_is_left_out() -> None:
    assert window_ends(START, START + timedelta(hours=13), SIX) == [START + SIX, START + 2 * SIX]


@pytest.mark.parametrize(("span", "every"), [(timedelta(hours=5), SIX), (SIX, timedelta(0)), (-SIX, SIX)])
def test_a_span_without_a_whole_window_is_refused(span: timedelta, every: timedelta) -> None:
    with pytest.raises(ConfigError):
        window_ends(START, START + span, every)


def test_only_what_is_missing_is_queued_oldest_first_and_a_window_may_be_missing_for_some() -> None:
    first, second = START + SIX, START + 2 * SIX
    wanted = [(end, persona) for end in (second, first) for persona in ("a", "b")]
    assert missing(wanted, {(first, "a")}) == [(first, ["b"]), (second, ["a", "b"])]
    assert missing(wanted, set(wanted)) == []
