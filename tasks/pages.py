"""What steps leave in Prefect's pages. What a person should find later is persisted; what is only news is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import State
from prefect.context import SettingsContext, TaskRunContext, get_settings_context
from prefect.runtime import flow_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, Settings, get_current_settings
from prefect.states import Running

from nabi.error_kinds import is_worth_another_try
from nabi.waiting import persist

T = TypeVar("T")

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 10.0


def table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """A table that a person finds beside the step; it waits for the server as long as the step may."""
    _leave("table", key, json.dumps(rows, ensure_ascii=False), description)


def markdown(key: str, text: str, description: str) -> None:
    """A page of text beside the step; it waits for the server as long as the step may."""
    _leave("markdown", key, text, description)


def open_bar(key: str, percent: float, message: str) -> UUID:
    """The run's progress bar of that name, made when it is not there yet; its id, for `move_bar`."""
    run = flow_run.id
    if run:
        wanted = ArtifactFilter(
            key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run)])
        )
        # A run that was killed and started again goes on with the bar that it had.
        if known := persist(lambda: _ask(lambda client: client.read_artifacts(artifact_filter=wanted))):
            return known[0].id
    return _leave("progress", key, percent, message)


def move_bar(bar: UUID, percent: float, message: str, *, last: bool = False) -> None:
    """Moves a bar. A move that the server misses is made good by the next one, so only the last one waits for it."""
    update = ArtifactUpdate(data=percent, description=message)
    if last:
        persist(lambda: _ask(lambda client: client.update_artifact(bar, update)))
    else:
        _if_it_listens(lambda client: client.update_artifact(bar, update))


def show_waiting(sentence: str | None) -> None:
    """Shows on the run what it waits for; None when it goes on."""
    run_id = flow_run.id
    if run_id:
        state: State[object] = Running(name="Waiting", message=sentence) if sentence else Running(message="goes on")
        _if_it_listens(lambda client: client.set_flow_run_state(UUID(run_id), state, force=True))


def wait_for_the_server() -> None:
    """Returns when the Prefect server answers. A run that ends while it is away ends once it is back."""
    persist(lambda: _ask(lambda client: client.hello()))


def _leave(kind: str, key: str, data: Any, description: str) -> UUID:
    step, run = TaskRunContext.get(), flow_run.id
    artifact = ArtifactCreate(
        type=kind,
        key=key,
        description=description,
        data=data,
        task_run_id=step.task_run.id if step else None,
        flow_run_id=UUID(run) if run else None,
    )
    return persist(lambda: _ask(lambda client: client.create_artifact(artifact))).id


def _if_it_listens(call: Callable[[SyncPrefectClient], object]) -> None:
    """Tells the server what is only news; when it is away, the log has it."""
    try:
        _ask(call)
    except Exception as error:
        if not is_worth_another_try(error):
            raise
        logger.info("Prefect missed a piece of news: %s", error)


def _ask(call: Callable[[SyncPrefectClient], T]) -> T:
    """One request that fails fast: how long to wait is decided by who calls, and said in the pages."""
    with SettingsContext(profile=get_settings_context().profile, settings=_without_retries()):
        return call(_client())


@cache
def _without_retries() -> Settings:
    """Made once: `temporary_settings` validates all settings anew, 0.2 s a request."""
    return get_current_settings().copy_with_update(updates={PREFECT_CLIENT_MAX_RETRIES: 0})


@cache
def _client() -> SyncPrefectClient:
    """One for the process: a new one a request would cost more than the request."""
    return get_client(httpx_settings={"timeout": _ANSWER_SECONDS}, sync_client=True)
