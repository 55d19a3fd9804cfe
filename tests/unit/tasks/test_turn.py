"""The second look before a run begins. Prefect is not asked: what it would be told is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.exceptions import Abort

import tasks.turn
from nabi.control.decide import OWN_LOOK_AFTER
from nabi.control.runs import Run
from nabi.settings import Settings
from nabi.wiring import Platform
from tasks.runs import RunBook
from tasks.sense import Sensed
from tasks.turn import _take_or_go_back

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
ME = UUID(int=7)
GIB = 2**30


class Prefect:
    """Keeps the states that it is given."""

    def __init__(self) -> None:
        self.states: list[tuple[UUID, Any]] = []

    def set_flow_run_state(self, run_id: UUID, state: Any, *, force: bool) -> None:
        assert force
        self.states.append((run_id, state))


@pytest.fixture
def prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prefect:
    server, platform = Prefect(), Platform(Settings(home=tmp_path))
    me = Run(str(ME), "learn", "running", "Running", NOON, NOON, NOON, personas=frozenset({"bot"}), whom="bot")

    @contextmanager
    def client(**_: Any) -> Iterator[Prefect]:
        yield server

    monkeypatch.setattr(tasks.turn, "get_client", client)
    monkeypatch.setattr(tasks.turn, "get_platform", lambda: platform)
    monkeypatch.setattr(tasks.turn, "flow_run", SimpleNamespace(id=str(ME), parameters={"preset": "high-quality"}))
    monkeypatch.setattr(RunBook, "read", lambda _book: [me])
    needs = {"high-quality": 9 * GIB, None: GIB}
    monkeypatch.setattr(RunBook, "gpu_bytes", lambda _book, _personas, preset: needs[preset])
    return server


def test_a_run_whose_machine_has_too_little_gpu_memory_free_goes_back_to_the_queue(prefect: Prefect) -> None:
    with pytest.raises(Abort):
        _take_or_go_back(["bot"], Sensed(saturated=None, gpu_free_bytes=8 * GIB))
    ((run_id, state),) = prefect.states
    assert (run_id, state.name) == (ME, "AwaitingResources")
    assert state.message == "GPU memory 8.0 GiB free, this training needs about 9.0 GiB"


@pytest.mark.parametrize("free", [10 * GIB, None])
def test_a_run_begins_where_there_is_room_or_no_gpu(prefect: Prefect, free: int | None) -> None:
    _take_or_go_back(["bot"], Sensed(saturated=None, gpu_free_bytes=free))
    assert prefect.states == []


def test_a_saturated_machine_sends_a_run_back_with_the_figure(prefect: Prefect) -> None:
    with pytest.raises(Abort):
        _take_or_go_back(["bot"], Sensed(saturated="CPU 97 %, limit 85 %", gpu_free_bytes=None))
    ((_, state),) = prefect.states
    assert (state.name, state.message) == ("AwaitingResources", "CPU 97 %, limit 85 %")
    assert state.state_details.scheduled_time - datetime.now(UTC) <= OWN_LOOK_AFTER
