"""Silences: for how long, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from nabi.registry.journal import Standing, State
from nabi.registry.silences import skipped, undeployed

NOW = datetime(2026, 7, 10, tzinfo=UTC)


def ended(state: State, sentence: str, *, days_ago: float, **figures: Any) -> Standing:
    at = NOW - timedelta(days=days_ago)
    return Standing("nabiyam", at, state, sentence, None, None, None, figures, at - timedelta(minutes=5), at)


def test_a_streak_of_skipped_windows_counts_its_days_and_reasons() -> None:
    windows = [ended("skipped", f"skipped: {n} of 50 new samples", days_ago=9 - n) for n in range(8, -1, -1)]
    silence = skipped([*windows, ended("deployed", "deployed: +8 %", days_ago=10)])
    assert silence is not None
    assert silence.days(NOW) == 9
    assert silence.because == "9 × skipped: … of … new samples"


def test_a_window_that_trained_ends_the_streak() -> None:
    assert skipped([ended("kept", "kept: no gain", days_ago=1), ended("skipped", "skipped: ?", days_ago=8)]) is None
    assert skipped([]) is None


def test_a_backfill_of_old_windows_is_no_long_silence() -> None:
    old = [ended("skipped", "skipped: 0 of 50 new samples", days_ago=0.01) for _ in range(40)]
    silence = skipped(old)
    assert silence is not None
    assert silence.days(NOW) == 0


def test_nothing_deployed_counts_from_the_last_change_and_tells_every_kind_of_reason() -> None:
    windows = [
        ended("kept", "kept: gain +2.1 %, needs 5 %", days_ago=1),
        ended("kept", "kept: gain -0.4 %, needs 5 %", days_ago=2),
        ended("failed", "failed: somebody's words", days_ago=3, kind="bad data"),
        ended("deployed", "deployed: +8 %", days_ago=8),
    ]
    silence = undeployed(windows, NOW - timedelta(days=8))
    assert silence is not None
    assert silence.days(NOW) == 8
    assert silence.because == "2 × kept: gain … %, needs … %; 1 × failed (bad data)"


def test_a_persona_that_never_deployed_counts_from_its_first_window() -> None:
    silence = undeployed([ended("kept", "kept: no gain", days_ago=5)], None)
    assert silence is not None
    assert silence.days(NOW) == 5
    assert undeployed([], None) is None


def test_no_run_at_all_is_said_as_that() -> None:
    silence = undeployed([ended("deployed", "deployed", days_ago=20)], NOW - timedelta(days=20))
    assert silence is not None
    assert silence.because == "no run ended"
