"""Watching runs of the platform from a command: what they wait for, what they are at, how they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import LogSort

_EVERY_SECONDS = 1.0
_PROGRESS = "nabi.progress"


def follow(run_ids: Sequence[UUID], tell: Callable[[str], None]) -> list[FlowRun]:
    """Watches until all of the runs have ended; how they ended. A server that is away is waited for.

    Args:
        tell: gets one line for each change of state, and each line of progress.
    """
    seen: dict[UUID, tuple[str | None, str | None]] = {}
    logged = datetime.now(UTC)
    while True:
        try:
            with get_client(sync_client=True) as client:
                runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(run_ids))))
                logged = _tell_progress(client, run_ids, logged, tell)
        except httpx.TransportError:
            time.sleep(_EVERY_SECONDS)
            continue
        for run in runs:
            _tell_state(run, seen, tell)
        if all(run.state is not None and run.state.is_final() for run in runs):
            return runs
        time.sleep(_EVERY_SECONDS)


def _tell_state(run: FlowRun, seen: dict[UUID, tuple[str | None, str | None]], tell: Callable[[str], None]) -> None:
    if run.state is None or seen.get(run.id) == (now := (run.state.name, run.state.message)):
        return
    seen[run.id] = now
    told = f": {run.state.message}" if run.state.message else ""
    tell(f"{run.name}: {run.state.name}{told}")


def _tell_progress(
    client: SyncPrefectClient, run_ids: Sequence[UUID], since: datetime, tell: Callable[[str], None]
) -> datetime:
    """The progress lines since a moment; the moment of the last one."""
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=list(run_ids)), timestamp=LogFilterTimestamp(after_=since))
    for log in client.read_logs(wanted, sort=LogSort.TIMESTAMP_ASC):
        if log.name == _PROGRESS and log.timestamp > since:
            tell(log.message)
        since = max(since, log.timestamp)
    return since
