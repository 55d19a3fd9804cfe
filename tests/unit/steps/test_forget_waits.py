"""A deletion and the steps that use conversations keep out of each other's way."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nabi.database.guard import guarded
from nabi.errors import TransientError
from nabi.settings import Settings
from nabi.steps import forget
from nabi.steps.guard import uses_words
from nabi.wiring import Platform

HANA = "a" * 64


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(Settings(home=tmp_path))


def test_a_request_about_somebody_unknown_is_done_at_once_and_remembered(platform: Platform) -> None:
    done = forget.forget_person(platform, HANA, who="hana")
    assert (done.erasure.state, done.entries) == ("done", ())
    assert platform.store.erasures.pending() == []
    assert forget.finish_pending(platform) == []


def test_a_deletion_waits_for_a_step_and_stays_noted_when_that_takes_too_long(platform: Platform) -> None:
    request = platform.store.forget_person(HANA, who="hana")
    with guarded(platform.database), pytest.raises(TransientError, match="noted and finished at the next start"):
        forget.finish_pending(platform, wait_s=0.1)
    assert platform.store.erasures.pending() == [request]
    assert [done.erasure.state for done in forget.finish_pending(platform)] == ["done"]


def test_a_run_begins_although_another_one_holds_up_a_deletion(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "_PATIENCE_BEFORE_RUN_S", 0.1)
    request = platform.store.forget_person(HANA, who="hana")
    with guarded(platform.database):
        forget.finish_before_run(platform)
    assert platform.store.erasures.pending() == [request]
    forget.finish_before_run(platform)
    assert platform.store.erasures.pending() == []


def test_a_step_that_uses_words_holds_the_guard(platform: Platform) -> None:
    @uses_words
    def step(platform: Platform, number: int) -> int:
        with pytest.raises(TransientError), guarded(platform.database, alone=True, wait_s=0.1):
            pass
        return number + 1

    assert step(platform, 1) == 2
    with guarded(platform.database, alone=True, wait_s=0.1):
        pass


def test_a_withdrawal_without_conversations_counts_for_later_ones(platform: Platform) -> None:
    done = forget.withdraw_consent(platform, HANA, datetime(2026, 7, 1, tzinfo=UTC), who="hana")
    assert (done.erasure.kind, done.erasure.state) == ("withdraw", "done")
