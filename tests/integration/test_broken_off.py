"""Runs that somebody cancels or deletes, and a command's that is killed: their windows end too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from minute_base import build_tiny_base
from prefect.states import Cancelled, Crashed, Pending, Running, Scheduled
from small_platform import NOON, SmallPlatform, plant_small_home, prefect_client, small_platform
from waiting import wait_until

from flows.continuous_learning import continuous_learning
from flows.work_pool import LOOP
from nabi.control.recovery import NEVER_CAME, NOT_BEGUN
from nabi.registry.journal import Standing
from nabi.registry.leases import run_lease
from nabi.steps.standing import details
from nabi.wiring import Platform

PERSONA = "bot"
SECONDS = 300  # other work on the machine is not what this is about

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPlatform]:
    folder = tmp_path_factory.mktemp("platform")
    home, base = folder / "home", build_tiny_base(folder / "minute")
    plant_small_home(home, PERSONA, base=base, num=200).database.close()
    with small_platform(home) as platform:
        platform.start("worker", "control")
        yield platform


def _train_for(up: SmallPlatform, epochs: int) -> None:
    declared = up.settings.personas / f"{PERSONA}.yaml"
    lines = declared.read_text().splitlines()
    recipe = f"recipe: {{preset: low-memory, epochs: {epochs}}}"
    declared.write_text("\n".join(recipe if line.startswith("recipe:") else line for line in lines))


def _ask(client: Any) -> Any:
    parameters = {"persona_ids": [PERSONA], "as_of": NOON.isoformat()}
    return client.create_flow_run_from_deployment(client.read_deployment_by_name(LOOP).id, parameters=parameters).id


def _state(client: Any, run: Any) -> Any:
    return client.read_flow_run(run).state


def _looked_at(nabi: Platform) -> datetime:
    (lease,) = [lease for lease in nabi.leases.held() if lease.name.startswith("control ")]
    return lease.beat_at


def test_a_run_that_is_cancelled_in_the_midst_of_its_training_ends_its_window_which_may_be_run_again(
    up: SmallPlatform,
) -> None:
    nabi = Platform(up.settings)
    with prefect_client(up) as client:
        _train_for(up, 100)
        run = _ask(client)

        def trains() -> bool:
            assert not _state(client, run).is_final(), _state(client, run).message
            told = nabi.progress.of(PERSONA)
            return told is not None and "step" in told.told

        wait_until(trains, SECONDS, "it trains")
        state = _state(client, run)
        cancelling = state.model_copy(update={"id": uuid4(), "type": "CANCELLING", "name": "Cancelling"})
        client.set_flow_run_state(run, cancelling)
        wait_until(lambda: _state(client, run).is_cancelled(), SECONDS, "it is cancelled")
        wait_until(lambda: not up.flow_processes(), SECONDS, "its processes have ended, its training's too")
        wait_until(lambda: details(nabi, PERSONA).outcome == "cancelled", SECONDS, "its window has ended")
        standing = details(nabi, PERSONA)
        assert standing.last_window == f"cancelled at {PERSONA}: train"
        assert (standing.doing, standing.failed, standing.champion) == (None, False, None)
        assert nabi.notices.latest() == [], "who cancels knows it"

        _train_for(up, 1)
        again = _ask(client)
        wait_until(lambda: _state(client, again).is_final(), SECONDS, "it ends")
        assert _state(client, again).is_completed(), _state(client, again).message
    standing = details(nabi, PERSONA)
    assert standing.outcome in ("deployed", "kept"), standing.last_window
    assert [version.number for version in nabi.registry.versions(PERSONA)] == [1]


def test_a_run_that_a_worker_took_and_never_began_is_taken_again_soon_on_the_only_host(up: SmallPlatform) -> None:
    with prefect_client(up) as client:
        loop = client.read_deployment_by_name(LOOP).id
        # Far ahead, so that the worker leaves it alone until the control loop has put it back.
        later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(minutes=50))
        parameters = {"persona_ids": [PERSONA], "as_of": (NOON - timedelta(days=1)).isoformat()}
        run = client.create_flow_run_from_deployment(loop, parameters=parameters, state=later).id
        client.set_flow_run_state(run, Pending(), force=True)
        taken = _state(client, run).timestamp
        wait_until(lambda: _state(client, run).is_final(), SECONDS, "it ends")
        states = {state.message: state for state in client.read_flow_run_states(run)}
        assert _state(client, run).is_completed(), _state(client, run).message
        released = states["the worker that took it is gone; it waits for one again"].timestamp
        assert NOT_BEGUN <= released - taken < NEVER_CAME


@pytest.mark.parametrize(
    ("how", "state", "sentence"),
    [
        ("deleted", "cancelled", "cancelled"),
        ("cancelled while nobody looks", "cancelled", "cancelled"),
        ("killed", "failed", "failed: its process was killed. It was started by hand: start it again"),
    ],
)
def test_runs_that_end_without_a_word_leave_no_window_under_way(
    up: SmallPlatform, how: str, state: str, sentence: str
) -> None:
    nabi = Platform(up.settings)
    as_of = NOON + timedelta(days=1 + len(how))
    with prefect_client(up) as client:
        nabi.journal.start(PERSONA, as_of)
        run, other = (_by_hand(nabi, client, as_of) for _ in range(2))
        _looks_twice(nabi)
        client.delete_flow_run(other)
        _looks_twice(nabi)
        assert _standing(nabi, as_of).state == "running", "the other run serves it"
        if how == "deleted":
            client.delete_flow_run(run)
        elif how == "killed":
            client.set_flow_run_state(run, Crashed(message="killed"), force=True)
        else:
            up.kill("control")
            client.set_flow_run_state(run, Cancelled(), force=True)
            up.start("control")
        wait_until(lambda: _standing(nabi, as_of).state != "running", SECONDS, "its window has ended")
        assert (_standing(nabi, as_of).state, _standing(nabi, as_of).sentence) == (state, sentence)


def _by_hand(nabi: Platform, client: Any, as_of: datetime) -> Any:
    """A run that no worker knows of: this process is the command that plays it, and its lease says that it lives."""
    parameters = {"persona_ids": [PERSONA], "as_of": as_of.isoformat()}
    run = client.create_flow_run(continuous_learning, parameters=parameters, state=Running()).id
    nabi.leases.acquire([run_lease(str(run))], str(run))
    return run


def _looks_twice(nabi: Platform) -> None:
    for _ in range(2):
        before = _looked_at(nabi)
        wait_until(lambda seen=before: _looked_at(nabi) > seen, SECONDS, "the control loop looks")  # type: ignore[misc]


def _standing(nabi: Platform, as_of: datetime) -> Standing:
    standing = nabi.journal.standing(PERSONA, as_of)
    assert standing is not None
    return standing
