"""Leases: one run a persona at a time, whoever asks, from wherever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from waiting import PATIENCE_S, wait_until

from nabi.database.engine import Database
from nabi.errors import LeaseLost, PersonaBusy
from nabi.registry.holding import Holding
from nabi.registry.leases import EXPIRY, Lease, Leases, check, persona_lease, run_lease
from nabi.resources.processes import ProcessId, is_alive, this_process

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def on_host(database: Database, clock: Clock, host: str) -> Leases:
    """The leases as a process of another host sees them: nobody here can look at it."""
    return Leases(database, process=ProcessId(host, 7, "boot/1"), clock=clock)


def names(leases: tuple[Lease, ...]) -> list[tuple[str, str]]:
    return [(lease.name, lease.holder) for lease in leases]


def test_a_persona_is_taught_by_one_run_at_a_time(database: Database, clock: Clock) -> None:
    first, second = on_host(database, clock, "a"), on_host(database, clock, "b")
    assert names(first.acquire(["nabiyam"], "run-1").mine) == [("nabiyam", "run-1")]
    refused = second.acquire(["nabiyam"], "run-2")
    assert (refused.mine, names(refused.others)) == ((), [("nabiyam", "run-1")])
    assert second.acquire(["hana"], "run-2").others == ()


def test_all_are_taken_or_none(database: Database, clock: Clock) -> None:
    on_host(database, clock, "a").acquire(["nabiyam"], "run-1")
    on_host(database, clock, "b").acquire(["hana", "nabiyam"], "run-2")
    assert [lease.name for lease in on_host(database, clock, "c").held()] == ["nabiyam"]


def test_what_is_given_back_is_free_and_its_token_still_grows(database: Database, clock: Clock) -> None:
    leases = on_host(database, clock, "a")
    first = leases.acquire(["nabiyam"], "run-1").mine
    leases.release(first)
    assert leases.held() == []
    second = on_host(database, clock, "b").acquire(["nabiyam"], "run-2").mine
    assert second[0].token > first[0].token
    leases.release(first)  # late: it must not free what another run has by now
    assert names(tuple(leases.held())) == [("nabiyam", "run-2")]


@pytest.mark.parametrize("direction", [1, -1])
def test_a_silent_host_loses_its_lease_after_a_minute_whichever_way_the_clock_moved(
    database: Database, clock: Clock, direction: int
) -> None:
    on_host(database, clock, "a").acquire(["nabiyam"], "run-1")
    other = on_host(database, clock, "b")
    clock.now = NOON + direction * EXPIRY
    assert other.acquire(["nabiyam"], "run-2").others
    clock.now = NOON + direction * (EXPIRY + timedelta(seconds=1))
    assert names(other.acquire(["nabiyam"], "run-2").mine) == [("nabiyam", "run-2")]


def test_a_beat_keeps_a_lease_and_says_what_is_being_done(database: Database, clock: Clock) -> None:
    leases = on_host(database, clock, "a")
    mine = leases.acquire(["nabiyam"], "run-1").mine
    clock.now += timedelta(seconds=50)
    leases.beat(mine, "train")
    clock.now += timedelta(seconds=50)
    assert on_host(database, clock, "b").acquire(["nabiyam"], "run-2").others[0].doing == "train"


def test_the_same_run_started_again_takes_over_at_once_and_the_old_process_is_fenced(
    database: Database, clock: Clock
) -> None:
    old, new = on_host(database, clock, "a"), on_host(database, clock, "b")
    before = old.acquire(["nabiyam"], "run-1").mine
    assert new.acquire(["nabiyam"], "run-1").mine[0].token == before[0].token + 1
    with pytest.raises(LeaseLost, match=r"nabiyam was taken over by run-1 on b"):
        old.beat(before)
    with pytest.raises(LeaseLost), database.write() as session:
        check(session, before[0])


def test_asking_again_for_what_is_mine_changes_nothing(database: Database, clock: Clock) -> None:
    leases = on_host(database, clock, "a")
    mine = leases.acquire(["nabiyam"], "run-1").mine
    assert leases.acquire(["nabiyam"], "run-1").mine == mine


def test_a_dead_process_of_this_host_loses_its_lease_at_once(database: Database) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    there = replace(this_process(), pid=child.pid, born=_born_of(child.pid))
    assert is_alive(there)
    Leases(database, process=there).acquire(["nabiyam"], "run-1")
    mine = Leases(database)
    assert mine.acquire(["nabiyam"], "run-2").others
    child.kill()
    # Before it is waited for it is a zombie, as the child of a worker is: dead all the same.
    wait_until(lambda: not is_alive(there))
    assert names(mine.acquire(["nabiyam"], "run-2").mine) == [("nabiyam", "run-2")]
    child.wait()


def test_another_process_with_the_same_number_is_not_taken_for_the_holder(database: Database) -> None:
    reborn = replace(this_process(), born="an earlier boot/123")
    assert not is_alive(reborn)
    Leases(database, process=reborn).acquire(["nabiyam"], "run-1")
    assert Leases(database).acquire(["nabiyam"], "run-2").mine


def test_a_living_process_of_this_host_keeps_its_lease_though_the_clock_moves_a_day(
    database: Database, clock: Clock
) -> None:
    Leases(database, clock=clock).acquire(["nabiyam"], "run-1")
    clock.now += timedelta(days=1)
    assert Leases(database, clock=clock).acquire(["nabiyam"], "run-2").others


def test_who_looks_ahead_is_told_who_is_at_work_since_when_and_at_what(database: Database, clock: Clock) -> None:
    elsewhere, mine = on_host(database, clock, "a"), on_host(database, clock, "b")
    elsewhere.beat(elsewhere.acquire([persona_lease("nabiyam")], "run-1").mine, "train")
    mine.ensure_free(["hana"])
    with pytest.raises(PersonaBusy, match=r"nabiyam is being taught .* \(on a since 2026-07-01 03:00 UTC, at train\)"):
        mine.ensure_free(["hana", "nabiyam"])
    clock.now += EXPIRY + timedelta(seconds=1)
    mine.ensure_free(["nabiyam"])


def test_runs_that_ended_long_ago_are_forgotten_and_personas_never(database: Database, clock: Clock) -> None:
    leases = on_host(database, clock, "a")
    leases.acquire([run_lease("run-1"), persona_lease("nabiyam")], "run-1")
    clock.now += timedelta(hours=25)
    leases.acquire([run_lease("run-2")], "run-2")
    leases.sweep()
    assert [lease.name for lease in leases.held()] == ["persona nabiyam", "run run-2"]


def test_of_many_that_ask_at_once_one_gets_it(database: Database, clock: Clock) -> None:
    def ask(number: int) -> bool:
        return bool(on_host(database, clock, f"host-{number}").acquire(["nabiyam"], f"run-{number}").mine)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(24))) == 1


def test_a_process_that_lost_its_lease_is_told_by_its_own_heartbeat(database: Database) -> None:
    lost = threading.Event()
    holding = Holding(Leases(database), lambda _error: lost.set(), beat_seconds=0.02)
    assert holding.take(["nabiyam"], "run-1") == ()
    elsewhere = Leases(database, process=ProcessId("b", 7, "boot/1"))
    assert elsewhere.acquire(["nabiyam"], "run-1").mine
    assert lost.wait(PATIENCE_S)
    holding.give_back(["nabiyam"])
    assert names(tuple(elsewhere.held())) == [("nabiyam", "run-1")]


def test_holding_notes_the_step_and_gives_everything_back(database: Database) -> None:
    holding, leases = Holding(Leases(database)), Leases(database)
    holding.take(["hana", "nabiyam"], "run-1")
    holding.at("snapshot")
    assert {lease.doing for lease in leases.held()} == {"snapshot"}
    holding.give_back(["hana"])
    assert [lease.name for lease in leases.held()] == ["nabiyam"]
    holding.give_back(["nabiyam"])
    assert leases.held() == []
    assert holding.lease("nabiyam") is None


def _born_of(pid: int) -> str:
    told = subprocess.run(
        [sys.executable, "-c", f"from nabi.resources.processes import _born; print(_born({pid}))"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    return told.stdout.strip()
