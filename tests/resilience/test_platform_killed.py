"""The platform whole, with real processes that are killed: server, worker, control loop and flow; on SQLite, and on
PostgreSQL for Prefect, MLflow and nabi alike.

The short form does each thing once. `NABI_LONG=1` (or `make resilience`) kills at every step of the loop, 20 times
over (NABI_ROUNDS), each run twice, and waits for a saturated machine to be free again.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest
from minute_base import build_tiny_base
from small_platform import NOON, SmallPlatform, plant_small_home, prefect_client, small_platform
from waiting import wait_until

from nabi.cli.stopping import PlannedStop
from nabi.control.recovery import MAX_CRASHES
from nabi.registry.journal import REPLAY
from nabi.resources.monitor import LEAST_SECONDS
from nabi.resources.processes import ProcessId
from nabi.wiring import Platform

IS_LONG = os.environ.get("NABI_LONG") == "1"
SEED = int(os.environ.get("NABI_SEED", "20260701"))
ROUNDS = int(os.environ.get("NABI_ROUNDS", "20"))
STEPS = ("collect", "filter", "bootstrap", "snapshot", "train", "evaluate", "gate", "keep the champion")
PERSONAS = ("bot", "guide", "past", "punctual")
WITHIN_SECONDS = 60.0
WORKER_LOOKS = 2.0
# A machine that does other work too is not what this is about: everything may take so many times longer.
PATIENCE = float(os.environ.get("NABI_TEST_PATIENCE", "3"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * 3600 if IS_LONG else 3600)]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPlatform]:
    """Server and deployments of an installation with two small personas; no worker and no control loop yet."""
    folder = tmp_path_factory.mktemp("platform")
    base = build_tiny_base(folder / "base" / "minute")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "postgresql":
            for setting, url in request.getfixturevalue("postgres_databases").items():
                patch.setenv(setting, url)
        plant_small_home(folder / "home", *PERSONAS, base=base).database.close()
        with small_platform(folder / "home") as platform, platform.found_by_commands():
            with prefect_client(platform) as client:
                # Every six hours it would add a run of its own to what is counted here.
                client.pause_deployment(client.read_deployment_by_name("continuous-learning/every-six-hours").id)
            yield platform


@pytest.fixture(scope="module")
def nabi(up: SmallPlatform) -> Iterator[Platform]:
    """The installation's own stores, to look into."""
    platform = Platform(up.settings)
    yield platform
    platform.database.close()


def make_run(client: Any, *personas: str, hours: int = 0, queue: str = "normal") -> Any:
    deployment = client.read_deployment_by_name("continuous-learning/every-six-hours")
    as_of = (NOON + timedelta(hours=hours)).isoformat()
    return client.create_flow_run_from_deployment(
        deployment.id, parameters={"persona_ids": list(personas), "as_of": as_of}, work_queue_name=queue
    ).id


def state_of(client: Any, run_id: Any) -> Any:
    return client.read_flow_run(run_id).state


def test_the_fifty_first_is_refused_from_command_and_pages_alike_and_two_loops_act_as_one(
    up: SmallPlatform, nabi: Platform
) -> None:
    with prefect_client(up) as client:
        runs = [make_run(client, "bot", hours=number) for number in range(50)]
        told = up.nabi("run", "--persona", "bot", "--no-wait", expect=1)
        assert "50 runs wait already, the limit is 50: 50 bot (normal)" in " ".join(told.split())
        up.start("control1", "control2")
        late = make_run(client, "guide")
        wait_until(lambda: state_of(client, late).is_final(), 20 * PATIENCE, "the 51st is refused")
        state = state_of(client, late)
        assert (state.name, state.type.value) == ("QueueFull", "CANCELLED")
        assert "50 runs wait already" in state.message
        wait_until(
            lambda: Counter(state_of(client, run).name for run in runs)["AwaitingPersona"] == 49,
            60 * PATIENCE,
            "one goes first, the others wait for the persona",
        )
        # One loop decides at a time: no run was held twice, and the other takes over when it is killed.
        assert max(_times_held(client, run) for run in runs) == 1
        leader = _leader(nabi)
        first = next(name for name in ("control1", "control2") if up.processes[name].pid == leader.pid)
        up.kill(first)
        wait_until(lambda: _leader(nabi) != leader, 20 * PATIENCE, "the other loop takes over")
        for run in runs:
            client.delete_flow_run(run)
        up.kill("control2" if first == "control1" else "control1")
    print("\n50 wait, 1 refused by the command, 1 by the loop; 49 held once each")


def _times_held(client: Any, run: Any) -> int:
    return sum(state.name == "AwaitingPersona" for state in client.read_flow_run_states(run))


def _leader(nabi: Platform) -> ProcessId:
    return next(lease.process for lease in nabi.leases.held() if lease.name.startswith("control "))


def test_killed_whole_or_in_part_a_run_goes_on_within_a_minute_and_nothing_appears_twice(
    up: SmallPlatform, nabi: Platform
) -> None:
    choose = random.Random(SEED)
    up.start("worker", "control")
    times: dict[str, list[float]] = {}
    with prefect_client(up) as client:
        # Early in a run and again late in it: with the first death behind it, the second one must find nothing doubled.
        pairs = list(zip(STEPS[:4], STEPS[4:], strict=True))
        plan = pairs * ROUNDS if IS_LONG else [("train",)]
        for number, steps in enumerate(plan, 1):
            run = make_run(client, "guide", hours=24 * number)  # four trainings a day are allowed
            for step in steps:
                parts = ("server", "worker", "control") if not IS_LONG or choose.random() < 0.3 else ()
                times.setdefault(step, []).append(_kill_at(up, nabi, run, step, parts))
            _wait_for_the_end(client, run)
            _nothing_twice(nabi, "guide", number)
            print(f"\n{len(plan) - number} runs to go; {_told(times)}", flush=True)


def _told(times: Mapping[str, Sequence[float]]) -> str:
    waits = [wait for waits in times.values() for wait in waits]
    counts = ", ".join(f"{len(waits)} at {step}" for step, waits in times.items())
    return f"killed {counts}: at work again after {median(waits):.0f} s (median), {max(waits):.0f} s (worst)"


def test_after_three_deaths_at_one_step_it_stops_says_so_and_tells_a_person(up: SmallPlatform, nabi: Platform) -> None:
    up.start("worker", "control")
    window = NOON + timedelta(hours=720)
    with prefect_client(up) as client:
        run = make_run(client, "bot", hours=720)
        for number in range(1, MAX_CRASHES + 1):
            wait_until(lambda: _at(nabi, run, "train") and _works_again(nabi, run), 120 * PATIENCE, "it trains")
            for process in up.flow_processes():
                process.kill()
            _wait_for_crashes(nabi, run, number)
        wait_until(lambda: _has_ended(client, run), 20 * PATIENCE, "it is given up")
        state = state_of(client, run)
    assert (state.name, state.type.value) == ("GaveUp", "FAILED")
    assert state.message.startswith(f"stopped: its process died {MAX_CRASHES} times at bot: train. ")
    standing = nabi.journal.standing("bot", window)
    assert standing is not None
    assert (standing.state, standing.sentence) == ("failed", f"failed: {state.message}")
    (told,) = [notice for notice in nabi.notices.latest() if notice.event == "gave_up"]
    assert (told.persona_id, told.facts["step"]) == ("bot", "bot: train")
    assert nabi.ledger.history("bot") == []


def _wait_for_crashes(nabi: Platform, run: Any, number: int) -> None:
    def counted() -> list[str]:
        return [step for _, step in nabi.crashes.of([str(run)]).get(str(run), [])]

    wait_until(lambda: len(counted()) == number, WITHIN_SECONDS * PATIENCE, f"death {number} is counted")
    assert counted() == ["bot: train"] * number


def test_a_planned_stop_counts_no_crash_however_its_run_ends(up: SmallPlatform, nabi: Platform) -> None:
    up.start("worker", "control")
    with prefect_client(up) as client:
        run = make_run(client, "bot", hours=480)
        # In order, or killed for being slow; too short for the whole pass, which would be no stop at all.
        for grace_seconds in (3.0, 0.0):
            wait_until(lambda: _works_again(nabi, run), 120 * PATIENCE, "it is at work")
            PlannedStop(up.settings).note_runs()
            # The worker alone: the control loop sees the run die, and has all the time to call that a crash.
            up.end_worker(grace_seconds)
            wait_until(lambda: state_of(client, run).name == "ResumingAfterStop", 60 * PATIENCE, "it is handed back")
            up.start("worker")
        wait_until(lambda: _works_again(nabi, run), 120 * PATIENCE, "it goes on")
        up.kill("worker", "control")
        for process in up.flow_processes():
            process.kill()
    assert nabi.crashes.of([str(run)]) == {}


def test_a_run_that_is_told_no_window_decides_the_one_that_it_was_due_for(up: SmallPlatform, nabi: Platform) -> None:
    """As each run of the schedule: to its gate, which also counts the windows of the days before."""
    up.start("worker", "control")
    with prefect_client(up) as client:
        deployment = client.read_deployment_by_name("continuous-learning/every-six-hours")
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"persona_ids": ["punctual"]}).id
        _wait_for_the_end(client, run)
        due = client.read_flow_run(run).expected_start_time
    (window,) = nabi.journal.latest("punctual", 1000)
    assert window.state in {"kept", "deployed"}, window.sentence
    assert abs(window.as_of - due) < timedelta(seconds=1)
    up.kill("worker", "control")


def test_a_backfill_repeats_the_window_that_failed_and_nothing_else(up: SmallPlatform, nabi: Platform) -> None:
    up.start("worker", "control")
    start, first, second = (NOON - timedelta(hours=hours) for hours in (24, 12, 0))
    persona = nabi.persona("past")
    base = Path(persona.base_model)

    def past(end: datetime, *options: str, expect: int = 0) -> str:
        span = ("--from", start.isoformat(), "--to", end.isoformat())
        told = up.nabi("backfill", *span, "--every", "12h", "--persona", "past", *options, expect=expect)
        return " ".join(told.split())

    def decided() -> dict[datetime, str]:
        return {standing.as_of: standing.state for standing in nabi.journal.latest("past", 1000)}

    told = past(first)
    assert "1 windows queued" in told
    # Its progress reaches the terminal through Prefect, whose page shows the same lines.
    assert re.search(r"past +18 % +writing the dataset .*past +30 % +training ", told), told
    kept = decided()[first]
    assert kept in {"kept", "deployed"}
    runs = nabi.tracker.runs_of("past")

    base.rename(base.with_name("away"))
    try:
        told = past(second, expect=1)
    finally:
        base.with_name("away").rename(base)
    assert "1 windows queued, 1 were decided before" in told
    assert decided() == {first: kept, second: "failed"}
    assert str(base) in told

    assert "1 windows queued, 1 were decided before" in past(second)
    assert decided().keys() == {first, second}
    assert decided()[second] in {"kept", "deployed"}
    assert "0 windows queued, 2 were decided before" in past(second)
    windows = nabi.journal.latest("past", 1000)
    assert set(runs) < set(nabi.tracker.runs_of("past"))
    assert len({window.mlflow_run_id for window in windows}) == len(windows) == 2
    # Each window saw only what existed when it ended: twenty conversations in half a day.
    assert [window.figures["num_new"] for window in sorted(windows, key=lambda one: one.as_of)] == [20, 40]

    history, live = nabi.ledger.history("past"), decided()
    assert "1 windows queued" in past(first, "--replay")
    (replayed,) = nabi.journal.latest("past", 1000, line=REPLAY)
    assert (replayed.as_of, replayed.state) in {(first, "kept"), (first, "won")}
    assert (nabi.ledger.history("past"), decided()) == (history, live)
    up.kill("worker", "control")


def _kill_at(up: SmallPlatform, nabi: Platform, run: Any, step: str, parts: Sequence[str]) -> float:
    """Kills the run's process at a step, and parts of the platform with it; seconds until it is at work again."""
    wait_until(lambda: _came_to(nabi, run, step), 120 * PATIENCE, f"it comes to {step}", look_every=0.005)
    up.kill(*parts)
    killed = up.flow_processes()
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=WITHIN_SECONDS)  # until then the dead one's lease looks alive
    if "server" in parts:
        up.start("server")
    up.start(*(part for part in parts if part != "server"))
    return wait_until(lambda: _works_again(nabi, run), WITHIN_SECONDS * PATIENCE, "it goes on by itself")


def _wait_for_the_end(client: Any, run: Any) -> None:
    wait_until(lambda: _has_ended(client, run), 300 * PATIENCE, "it ends")
    assert state_of(client, run).is_completed(), state_of(client, run)


def _has_ended(client: Any, run: Any) -> bool:
    """A crashed one, final to Prefect, goes on or is given up."""
    state = state_of(client, run)
    return bool(state.is_final() and not state.is_crashed())


def _at(nabi: Platform, run: Any, step: str) -> bool:
    return any(lease.holder == str(run) and lease.doing.endswith(step) for lease in nabi.leases.held())


def _came_to(nabi: Platform, run: Any, step: str) -> bool:
    """Whether it is at the step, or past one that lasts hundredths of a second and was over between two looks."""
    reached = [place for place, name in enumerate(STEPS) if _at(nabi, run, name)]
    return bool(reached) and reached[-1] >= STEPS.index(step)


def _works_again(nabi: Platform, run: Any) -> bool:
    leases = [lease for lease in nabi.leases.held() if lease.holder == str(run)]
    return any(lease.doing and not nabi.leases.is_over(lease) for lease in leases)


def _nothing_twice(nabi: Platform, persona: str, num_windows: int) -> None:
    versions = nabi.registry.versions(persona)
    windows = [standing for standing in nabi.journal.latest(persona, 1000) if standing.adapter_version]
    assert len({version.run_id for version in versions}) == len(versions) == len(windows)
    assert len(nabi.tracker.runs_of(persona)) == len(windows) <= num_windows
    assert nabi.ledger.history(persona) == []  # none of them passed the gate


BURN = "while True: pass"
FILL = "import sys; held = b'x' * int(sys.argv[1]); sys.stdin.read()"
SHARE, LIMIT = 25, 15


def test_a_full_memory_holds_a_run_without_a_process_and_lets_it_go_by_itself(up: SmallPlatform) -> None:
    """Of the machine's memory `SHARE` percent are filled, and `LIMIT` more than now are allowed."""
    memory = psutil.virtual_memory()
    assert memory.percent + SHARE < 95, f"memory is {memory.percent} % full already: nothing can be filled up safely"
    limit = round(memory.percent) + LIMIT
    narrow = replace(up, settings_environment={"NABI_MAX_MEMORY": str(limit)})
    filler = subprocess.Popen(
        [sys.executable, "-c", FILL, str(memory.total * SHARE // 100)], stdin=subprocess.PIPE, text=True
    )
    with prefect_client(up) as client:
        try:
            wait_until(lambda: psutil.virtual_memory().percent > limit, 60 * PATIENCE, "it is filled")
            narrow.start("control")
            _hold_and_let_go(narrow, client, filler, persona="guide", told=f"limit {limit} %")
        finally:
            filler.kill()
            filler.wait()
            up.kill("worker", "control")
            for process in up.flow_processes():
                process.kill()


@pytest.mark.skipif(not IS_LONG, reason="waits for a machine that does nothing else: NABI_LONG=1")
def test_a_busy_processor_holds_a_run_without_a_process_and_lets_it_go_by_itself(tmp_path: Path) -> None:
    base = build_tiny_base(tmp_path / "base" / "minute")
    plant_small_home(tmp_path / "home", "bot", base=base).database.close()
    with small_platform(tmp_path / "home", NABI_MAX_CPU="85") as up, prefect_client(up) as client:
        burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(os.cpu_count() or 1)]
        try:
            up.start("control")
            _hold_and_let_go(up, client, *burners, persona="bot", told="limit 85 %")
        finally:
            for burner in burners:
                burner.kill()


def _hold_and_let_go(up: SmallPlatform, client: Any, *load: subprocess.Popen[Any], persona: str, told: str) -> None:
    """A run made under load waits, with no process of its own; it is at work when the load is gone."""
    time.sleep(LEAST_SECONDS * 2)  # so long the control loop must have looked before it calls anything saturated
    run = make_run(client, persona, hours=960)
    wait_until(lambda: state_of(client, run).name == "AwaitingResources", 60 * PATIENCE, "it is held")
    message = state_of(client, run).message
    assert told in message
    up.start("worker")
    time.sleep(2 * WORKER_LOOKS)
    assert up.flow_processes() == []
    assert state_of(client, run).name == "AwaitingResources"
    for process in load:
        process.kill()
    waited = wait_until(lambda: state_of(client, run).is_running(), 180 * PATIENCE, "it goes on by itself")
    print(f"\nheld as '{message}', at work {waited:.0f} s after the machine was free")
