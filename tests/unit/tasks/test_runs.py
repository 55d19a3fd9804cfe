"""Prefect's runs as the rules see them; no server is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import State

from nabi.control.actions import GiveUp
from nabi.control.runs import Run
from nabi.registry.leases import Lease, Leases, run_lease
from nabi.resources.processes import ProcessId
from nabi.settings import Settings
from nabi.wiring import Platform
from tasks.runs import BACKFILLED, RunBook

NOW = datetime(2026, 7, 1, 3, tzinfo=UTC)
FLOW, DEPLOYMENT = uuid4(), uuid4()
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    (tmp_path / "personas").mkdir()
    for name in ("hana", "nabiyam"):
        (tmp_path / "personas" / f"{name}.yaml").write_text("this: is no persona\n")
    return Platform(Settings(home=tmp_path))


def flow_run(state: StateType = StateType.RUNNING, **changes: Any) -> FlowRun:
    values: dict[str, Any] = {
        "flow_id": FLOW,
        "deployment_id": DEPLOYMENT,
        "state": State(type=state, timestamp=NOW, message="what it says"),
        "expected_start_time": NOW,
        "created": NOW,
        "parameters": {"persona_ids": None, "as_of": None},
    }
    return FlowRun(**(values | changes))


def seen(platform: Platform, run: FlowRun, leases: list[Lease] | None = None, crashes: Any = ()) -> Run | None:
    book = RunBook(None, platform)  # type: ignore[arg-type]
    book._kinds[FLOW] = "learn"
    return book._run(run, leases or [], list(crashes))


def test_a_run_for_everybody_names_them_all_even_while_a_persona_file_is_broken(platform: Platform) -> None:
    run = seen(platform, flow_run())
    assert run is not None
    assert (run.personas, run.whom, run.until) == ({"hana", "nabiyam"}, "every persona", NOW)


@pytest.mark.parametrize(
    ("told", "as_of"),
    [
        ("2026-07-01T12:00:00+09:00", NOW),
        ("2026-07-01T03:00:00", NOW),
        ("2026-07-01T03:00:00.000Z", NOW),
        ("soon", None),
    ],
)
def test_a_windows_end_is_read_however_it_is_written_and_nonsense_stops_nothing(
    platform: Platform, told: str, as_of: datetime | None
) -> None:
    run = seen(platform, flow_run(parameters={"persona_ids": ["hana"], "as_of": told}))
    assert run is not None
    assert run.as_of == as_of


def test_a_past_window_that_was_queued_in_a_hold_is_due_at_once(platform: Platform) -> None:
    later = NOW + timedelta(minutes=5)
    for tags, due in (([BACKFILLED], NOW), ([], later)):
        run = seen(platform, flow_run(expected_start_time=later, tags=tags))
        assert run is not None
        assert run.due == due


def test_only_a_schedules_run_without_a_window_of_its_own_may_be_replaced(platform: Platform) -> None:
    fixed = {"persona_ids": None, "as_of": NOW.isoformat()}
    for changes, replaceable in (
        ({"auto_scheduled": True}, True),
        ({"auto_scheduled": True, "parameters": fixed}, False),
        ({}, False),
    ):
        run = seen(platform, flow_run(StateType.SCHEDULED, **changes))
        assert run is not None
        assert run.replaceable is replaceable


def test_a_crash_that_is_being_decided_on_is_not_counted_twice(platform: Platform) -> None:
    crashes = [(NOW - timedelta(hours=1), "train"), (NOW, "train")]
    run = seen(platform, flow_run(StateType.CRASHED), crashes=crashes)
    assert run is not None
    assert run.crashes == ("train",)


def test_a_crashed_run_of_a_command_is_left_out(platform: Platform) -> None:
    assert seen(platform, flow_run(StateType.CRASHED, deployment_id=None)) is None


def test_life_is_told_by_the_lease_and_an_earlier_trys_lease_says_nothing_of_a_pending_run(platform: Platform) -> None:
    run_id = UUID(int=7)
    dead = Leases(platform.database, process=ProcessId(platform.leases._process.host, 1, "an earlier boot"))
    dead.acquire([run_lease(str(run_id))], str(run_id))
    lease = platform.leases.held()
    for state, alive in ((StateType.RUNNING, False), (StateType.PENDING, None)):
        run = seen(platform, flow_run(state, id=run_id), lease)
        assert run is not None
        assert run.alive is alive
    platform.leases.acquire([run_lease(str(run_id))], str(run_id))
    run = seen(platform, flow_run(id=run_id), platform.leases.held())
    assert run is not None
    assert run.alive is True


def test_a_run_that_is_given_up_before_it_opened_its_window_reaches_a_person_too(platform: Platform) -> None:
    stop = GiveUp("r", NOW, "start", frozenset({"hana"}), NOW, "stopped: its process died 3 times at start")
    RunBook(None, platform)._fail_windows(stop)  # type: ignore[arg-type]
    standing = platform.journal.standing("hana", NOW)
    assert standing is not None
    assert (standing.state, standing.sentence) == ("failed", f"failed: {stop.sentence}")
    assert [(told.event, told.persona_id) for told in platform.notices.latest()] == [("gave_up", "hana")]
    platform.journal.start("nabiyam", NOW)
    platform.journal.finish("nabiyam", NOW, "skipped", "skipped: 1 of 50 new samples")
    RunBook(None, platform)._fail_windows(replace(stop, personas=frozenset({"nabiyam"})))  # type: ignore[arg-type]
    assert getattr(platform.journal.standing("nabiyam", NOW), "state", None) == "skipped"


@pytest.mark.parametrize("cuda", [True, False])
def test_what_a_training_needs_of_a_gpu_counts_only_where_torch_would_use_one(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, cuda: bool
) -> None:
    monkeypatch.setattr("nabi.training.libraries.torch_knows_cuda", lambda: cuda)
    personas = platform.settings.personas
    (personas / "nabiyam.yaml").write_text("id: nabiyam\nname: nabiyam\nsystem_prompt: 짧게.\n")
    book = RunBook(None, Platform(Settings(home=personas.parent, models_dir=ROOT / "models")))  # type: ignore[arg-type]
    # The other one's file is broken, which it says in its own run.
    needed = [book.gpu_bytes({"hana", "nabiyam"}, preset) for preset in ("low-memory", "high-quality")]
    if cuda:
        assert 0 < needed[0] < needed[1]  # type: ignore[operator]
    else:
        assert needed == [None, None]
