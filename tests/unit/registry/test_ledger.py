from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from nabi.database.engine import Database
from nabi.errors import ConfigError, LeaseLost, ModelError
from nabi.registry.leases import Leases, persona_lease
from nabi.registry.ledger import Ledger
from nabi.resources.processes import ProcessId

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


class Clock:
    """Goes on by a minute each time it is asked."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, clock=Clock())


def deploy(ledger: Ledger, number: int, persona_id: str = "nabiyam") -> None:
    ledger.deploy(persona_id, f"{persona_id}--v{number}", f"digest-{number}", who="the gate", why=f"+{number} %")


def test_nothing_is_live_before_the_first_deployment(ledger: Ledger) -> None:
    assert ledger.live("nabiyam") is None
    assert ledger.history("nabiyam") == []


def test_a_deployment_makes_the_old_champion_the_rollback_target(ledger: Ledger) -> None:
    deploy(ledger, 1)
    deploy(ledger, 2)
    live = ledger.live("nabiyam")
    assert live is not None
    assert (live.champion, live.previous, live.digest) == ("nabiyam--v2", "nabiyam--v1", "digest-2")
    assert live.since == NOON + timedelta(minutes=2)


def test_deploying_the_champion_again_changes_nothing(ledger: Ledger) -> None:
    """A run that was killed right after its deployment repeats it."""
    deploy(ledger, 1)
    deploy(ledger, 2)
    standing = ledger.live("nabiyam")
    assert ledger.deploy("nabiyam", "nabiyam--v2", "digest-2", who="the gate", why="again") == standing
    assert ledger.live("nabiyam") == standing
    assert len(ledger.history("nabiyam")) == 2


def test_a_killed_run_that_repeats_its_deployment_does_not_undo_a_rollback(ledger: Ledger) -> None:
    deploy(ledger, 1)
    deploy(ledger, 2)
    back = ledger.rollback("nabiyam", who="min", why="answers got worse")
    deploy(ledger, 2)
    assert ledger.live("nabiyam") == back
    assert ledger.promote("nabiyam", "nabiyam--v2", "digest-2", who="min", why="after all").champion == "nabiyam--v2"


def test_a_process_that_lost_its_lease_deploys_nothing(ledger: Ledger, database: Database) -> None:
    deploy(ledger, 1)
    mine = Leases(database).acquire([persona_lease("nabiyam")], "run-1").mine[0]
    Leases(database, process=ProcessId("elsewhere", 7, "boot/1")).acquire([persona_lease("nabiyam")], "run-1")
    with pytest.raises(LeaseLost):
        ledger.deploy("nabiyam", "nabiyam--v2", "digest-2", who="the gate", why="+2 %", lease=mine)
    assert [entry.champion for entry in ledger.history("nabiyam")] == ["nabiyam--v1"]


def test_a_rollback_swaps_champion_and_previous_with_their_digests(ledger: Ledger) -> None:
    deploy(ledger, 1)
    deploy(ledger, 2)
    back = ledger.rollback("nabiyam", who="min", why="answers got worse")
    assert (back.champion, back.previous, back.digest) == ("nabiyam--v1", "nabiyam--v2", "digest-1")
    forth = ledger.rollback("nabiyam", who="min", why="they did not")
    assert (forth.champion, forth.previous, forth.digest) == ("nabiyam--v2", "nabiyam--v1", "digest-2")


@pytest.mark.parametrize(("num_deployed", "told"), [(0, "nothing is live yet"), (1, "only nabiyam--v1 was ever live")])
def test_a_rollback_without_a_target_says_so_and_changes_nothing(ledger: Ledger, num_deployed: int, told: str) -> None:
    for number in range(1, num_deployed + 1):
        deploy(ledger, number)
    with pytest.raises(ConfigError, match=told):
        ledger.rollback("nabiyam", who="min", why="a mistake")
    assert len(ledger.history("nabiyam")) == num_deployed


def test_a_version_that_comes_with_other_weights_is_refused(ledger: Ledger) -> None:
    deploy(ledger, 1)
    deploy(ledger, 2)
    with pytest.raises(ModelError, match="digest-1"):
        ledger.deploy("nabiyam", "nabiyam--v1", "tampered", who="the gate", why="+9 %")
    live = ledger.live("nabiyam")
    assert live is not None
    assert live.champion == "nabiyam--v2"


def test_history_tells_who_did_what_and_why_in_order(ledger: Ledger) -> None:
    deploy(ledger, 1)
    ledger.promote("nabiyam", "nabiyam--v3", "digest-3", who="min", why="a festival")
    ledger.rollback("nabiyam", who="min", why="it is over")
    told = [(entry.action, entry.champion, entry.previous, entry.who, entry.why) for entry in ledger.history("nabiyam")]
    assert told == [
        ("deploy", "nabiyam--v1", None, "the gate", "+1 %"),
        ("promote", "nabiyam--v3", "nabiyam--v1", "min", "a festival"),
        ("rollback", "nabiyam--v1", "nabiyam--v3", "min", "it is over"),
    ]


def test_personas_do_not_touch_each_other(ledger: Ledger) -> None:
    deploy(ledger, 1)
    deploy(ledger, 2)
    deploy(ledger, 1, "tester")
    live = ledger.live("tester")
    assert live is not None
    assert (live.champion, live.previous) == ("tester--v1", None)


def test_writers_at_once_lose_no_update(ledger: Ledger) -> None:
    """Each entry's rollback target is the champion of the entry before it, whatever the order was."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: deploy(ledger, number), range(1, 25)))
    history = ledger.history("nabiyam")
    assert sorted(entry.champion for entry in history) == sorted(f"nabiyam--v{number}" for number in range(1, 25))
    assert [entry.previous for entry in history] == [None, *(entry.champion for entry in history[:-1])]


def test_readers_see_a_whole_old_or_a_whole_new_state(ledger: Ledger) -> None:
    deploy(ledger, 0)
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(deploy, ledger, number) for number in range(1, 20)]
        seen = []
        while not all(done.done() for done in writing):
            seen.append(ledger.live("nabiyam"))
    for live in seen:
        assert live is not None
        assert live.digest == f"digest-{live.champion.removeprefix('nabiyam--v')}"
