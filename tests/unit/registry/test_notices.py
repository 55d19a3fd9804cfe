"""Notices: noted with the event, once, delivered or given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nabi.database.engine import Database
from nabi.error_kinds import Kind
from nabi.errors import ConfigError
from nabi.registry.journal import Journal
from nabi.registry.ledger import Ledger
from nabi.registry.notices import GIVEN_UP_AFTER, LONGEST_PAUSE, Notices

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notices(database: Database, clock: Clock) -> Notices:
    return Notices(database, clock)


def fail(database: Database, clock: Clock, why: str = "failed: no space: the disk of kim@daum.net is full") -> None:
    journal = Journal(database, clock)
    journal.start("nabiyam", NOON)
    journal.finish("nabiyam", NOON, "failed", why, figures={"kind": Kind.NO_SPACE.value})


def test_a_failed_window_is_noted_with_its_kind_and_without_the_words_of_the_error(
    database: Database, clock: Clock, notices: Notices
) -> None:
    fail(database, clock)
    (notice,) = notices.latest()
    assert (notice.event, notice.persona_id, notice.state) == ("failed", "nabiyam", "waiting")
    assert notice.facts == {"window": NOON.isoformat(), "kind": "no space"}
    assert "Free space on the disk" in notice.sentence
    assert "kim@daum.net" not in notice.sentence


def test_a_window_that_fails_again_is_noted_again(database: Database, clock: Clock, notices: Notices) -> None:
    fail(database, clock)
    clock.now += timedelta(hours=1)
    fail(database, clock)
    assert len(notices.latest()) == 2


def test_a_run_that_was_killed_too_often_is_noted_with_its_step(
    database: Database, clock: Clock, notices: Notices
) -> None:
    journal = Journal(database, clock)
    journal.start("nabiyam", NOON)
    figures = {"gave_up_at": "nabiyam: train", "run": "r1"}
    journal.finish("nabiyam", NOON, "failed", "failed: killed three times", figures=figures)
    (notice,) = notices.latest()
    assert notice.event == "gave_up"
    assert notice.facts == {"window": NOON.isoformat(), "run": "r1", "step": "nabiyam: train"}


def test_a_failure_that_is_rolled_back_leaves_no_notice(database: Database, clock: Clock, notices: Notices) -> None:
    with pytest.raises(Exception, match="never started"):
        Journal(database, clock).finish("nabiyam", NOON, "failed", "failed: ?")
    assert notices.latest() == []


def test_a_decided_window_that_fails_later_is_no_news(database: Database, clock: Clock, notices: Notices) -> None:
    journal = Journal(database, clock)
    journal.start("nabiyam", NOON)
    journal.finish("nabiyam", NOON, "kept", "kept: gain 2 %, needs 5 %")
    journal.finish("nabiyam", NOON, "failed", "failed: too late")
    assert notices.latest() == []


def test_a_rollback_is_noted_without_who_and_why(database: Database, clock: Clock, notices: Notices) -> None:
    ledger = Ledger(database, clock)
    ledger.deploy("nabiyam", "nabiyam--v1", "a" * 64, who="the gate", why="+8 %")
    ledger.deploy("nabiyam", "nabiyam--v2", "b" * 64, who="the gate", why="+9 %")
    assert notices.latest() == []
    ledger.rollback("nabiyam", who="Kim Minji", why="Minji's mother rang")
    (notice,) = notices.latest()
    assert notice.event == "rolled_back"
    assert notice.facts == {"from": "nabiyam--v2", "to": "nabiyam--v1"}
    assert "inji" not in notice.sentence


def test_a_rollback_that_is_refused_is_not_noted(database: Database, notices: Notices) -> None:
    with pytest.raises(ConfigError):
        Ledger(database).rollback("nabiyam", who="me", why="?")
    assert notices.latest() == []


def test_the_same_occasion_is_noted_once(notices: Notices) -> None:
    tell = {"run": "r1", "step": "train"}
    assert notices.note("gave_up", "nabiyam", "nabiyam: killed 3 times at train.", tell, occasion="r1")
    assert not notices.note("gave_up", "nabiyam", "nabiyam: killed 3 times at train.", tell, occasion="r1")


def test_a_claimed_notice_is_nobody_elses_until_the_claim_runs_out(
    database: Database, clock: Clock, notices: Notices
) -> None:
    fail(database, clock)
    (claimed,) = notices.claim()
    assert Notices(database, clock).claim() == []
    clock.now += timedelta(minutes=3)
    assert [notice.id for notice in Notices(database, clock).claim()] == [claimed.id]


def test_a_delivered_notice_is_never_handed_out_again(database: Database, clock: Clock, notices: Notices) -> None:
    fail(database, clock)
    notices.delivered(notices.claim()[0].id)
    clock.now += timedelta(days=30)
    assert notices.claim() == []
    assert notices.latest()[0].state == "delivered"


def test_vain_tries_come_further_and_further_apart_and_end_after_a_week(
    database: Database, clock: Clock, notices: Notices
) -> None:
    fail(database, clock)
    pauses = []
    while notices.latest()[0].state == "waiting":
        (notice,) = notices.claim()
        tried_at = clock.now
        given_up = notices.missed(notice, "the receiver answered 503 Service Unavailable")
        while not given_up and not notices.claim():
            clock.now += timedelta(seconds=15) if len(pauses) < 8 else timedelta(minutes=20)
        pauses.append(clock.now - tried_at)
        if not given_up:
            clock.now += timedelta(minutes=2)  # the claim of the look above
    assert pauses[0] < timedelta(minutes=1) < pauses[4]
    assert max(pauses) < LONGEST_PAUSE * 2
    notice = notices.latest()[0]
    assert notice.state == "given up"
    assert notice.last_error == "the receiver answered 503 Service Unavailable"
    assert clock.now - NOON > GIVEN_UP_AFTER
    assert notices.claim() == []
    assert notices.try_again() == 1
    assert [again.id for again in notices.claim()] == [notice.id]
