"""Prefect's flow runs as the rules see them, and the rules' actions as Prefect's states."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Failed, Running, Scheduled

from nabi.control.actions import (
    AWAITING_VOTES,
    GAVE_UP,
    HOLDS,
    RESUMING,
    STOPPED,
    Action,
    Cancel,
    DeclareCrashed,
    GiveUp,
    HandBack,
    Hold,
    Release,
    Resume,
    Revive,
)
from nabi.control.runs import Kind, Run, Working
from nabi.control.runs import State as RunState
from nabi.errors import NabiError
from nabi.personas.model import Preset
from nabi.registry.journal import LIVE, REPLAY, Line
from nabi.registry.leases import Lease, persona_of
from nabi.resources.processes import anybody_carries, carries
from nabi.utc import in_utc
from nabi.wiring import Platform

logger = logging.getLogger("nabi.control")

KINDS: dict[str, Kind] = {"continuous-learning": "learn", "backfill": "backfill", "upkeep": "upkeep"}
"""Flow → kind of run. Other flows on the same server are none of ours."""

BACKFILLED = "backfill"
"""Tag of a run that serves a past window."""

ASKED_PEOPLE = "asked people"
"""Tag of a run that has judged a candidate which people are asked about."""

BrokeOff = Literal["cancelled", "failed"]
"""How a window ends whose run cannot say it."""

_RUN_OF = "PREFECT__FLOW_RUN_ID"
"""What the environment of a run's process tells."""

_ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CRASHED, StateType.CANCELLING, StateType.PAUSED]
_WITH_A_PROCESS = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
_SOON = timedelta(hours=1)
_PAGE = 200  # the server gives no more at once


def working_under(lease: Lease) -> Working:
    """Who works on a persona, by the persona's lease."""
    return Working(
        persona=persona_of(lease) or lease.name,
        run_id=lease.holder,
        step=lease.doing,
        since=lease.acquired_at,
        where=lease.process.host,
    )


class RunBook:
    """Every run that has not ended: read from Prefect, changed there.

    Args:
        client: of the server.
        platform: for the personas, and for the leases that tell whose process lives.
    """

    def __init__(self, client: SyncPrefectClient, platform: Platform) -> None:
        self._client = client
        self._platform = platform
        self._kinds: dict[UUID, Kind] = {}
        self._seen: dict[str, UUID | None] = {}

    def read(self, *, gpu: bool = False) -> list[Run]:
        """All runs of ours that have not ended; those of the schedule's far future are left out.

        Args:
            gpu: whether there is a GPU to train on, so that it matters what each training needs of it.
        """
        found = {run.id: run for query in self._queries() for run in self._all(query)}
        leases: dict[str, list[Lease]] = {}
        for lease in self._platform.leases.held():
            leases.setdefault(lease.holder, []).append(lease)
        crashes = self._platform.crashes.of(str(run_id) for run_id in found)
        stops = self._platform.stops.of(str(run_id) for run_id in found)
        self._seen = {str(run.id): run.state_id for run in found.values()}
        runs = (self._run(run, leases.get(str(run.id), []), crashes.get(str(run.id), [])) for run in found.values())
        ours = [
            replace(run, stopped=stops.get(run.id) is False, handed_back=stops.get(run.id, False))
            for run in runs
            if run is not None
        ]
        if not gpu:
            return ours
        return [
            replace(run, gpu_bytes=self.gpu_bytes(run.personas, found[UUID(run.id)].parameters.get("preset")))
            if run.kind == "learn" and run.state == "scheduled"
            else run
            for run in ours
        ]

    def gpu_bytes(self, persona_ids: Iterable[str], preset: Preset | None) -> int | None:
        """Free GPU memory that the largest of these trainings needs; None where they train without a GPU.

        A persona that cannot be trained at all says so in its run.
        """
        needed = []
        for persona_id in sorted(persona_ids):
            try:
                needed.append(self._platform.gpu_bytes(persona_id, preset))
            except NabiError as error:
                logger.warning("%s: cannot tell the GPU memory that it needs: %s", persona_id, error)
        return max((num for num in needed if num is not None), default=None)

    def cancelled(self, since: datetime) -> list[Run]:
        """Runs that teach and were cancelled since then, those included that were refused before they began."""
        query = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLED])),
            end_time=FlowRunFilterEndTime(after_=since),
        )
        runs = (self._run(run, [], []) for run in self._all(query))
        return [run for run in runs if run is not None and run.kind == "learn"]

    def broke_off(self, run_id: str) -> BrokeOff | None:
        """How a run ended that nobody takes up again and that could not say so itself; None for any other run."""
        try:
            run = self._client.read_flow_run(UUID(run_id))
        except ObjectNotFound:
            return "cancelled"  # somebody deleted it in the pages
        if run.state is None:
            return None
        if run.state.is_cancelled():
            return "cancelled"
        return "failed" if run.state.is_crashed() and run.deployment_id is None else None

    def working(self) -> tuple[Working, ...]:
        """Who works on which persona now, also from a command or from another host."""
        leases = self._platform.leases
        return tuple(working_under(lease) for lease in leases.held() if persona_of(lease) and not leases.is_over(lease))

    def carry_out(self, action: Action) -> None:
        """Does what was decided, unless the run changed since it was read: then the next look decides anew."""
        run_id = UUID(action.run_id)
        try:
            state_id = self._client.read_flow_run(run_id).state_id
        except ObjectNotFound:
            return  # somebody deleted it in the pages
        if state_id != self._seen.get(action.run_id):
            return
        logger.info("run %s: %s", action.run_id, action)
        match action:
            case Hold(name=name, until=until, sentence=sentence):
                self._set(run_id, Scheduled(name=name, scheduled_time=until, message=sentence))
            case Release(at=at, sentence=sentence):
                self._set(run_id, Scheduled(scheduled_time=at, message=sentence))
            case Cancel(name=name, sentence=sentence):
                self._set(run_id, Cancelled(name=name, message=sentence))
            case DeclareCrashed(sentence=sentence):
                self._set(run_id, Crashed(message=sentence))
            case Revive(sentence=sentence):
                self._set(run_id, Running(message=sentence))
            case Resume(crashed_at=crashed_at, step=step, sentence=sentence):
                self._platform.crashes.record(action.run_id, crashed_at, step)
                self._platform.leases.clear(action.run_id)
                self._set(run_id, Scheduled(name=RESUMING, scheduled_time=datetime.now(UTC), message=sentence))
            case HandBack(sentence=sentence):
                self._platform.leases.clear(action.run_id)
                self._set(run_id, Scheduled(name=STOPPED, scheduled_time=datetime.now(UTC), message=sentence))
                # Last: killed in between, the worst is one crash that does not count.
                self._platform.stops.note_handed_back(action.run_id)
            case GiveUp(crashed_at=crashed_at, step=step, sentence=sentence):
                self._platform.crashes.record(action.run_id, crashed_at, step)
                self._platform.leases.clear(action.run_id)
                self._fail_windows(action)
                self._set(run_id, Failed(name=GAVE_UP, message=sentence))

    def _set(self, run_id: UUID, state: State[None]) -> None:
        # Past Prefect's own rules, which refuse to put a crashed run back.
        self._client.set_flow_run_state(run_id, state, force=True)

    def _fail_windows(self, action: GiveUp) -> None:
        line = REPLAY if action.replay else LIVE
        for persona_id in sorted(action.personas):
            if self._platform.journal.standing(persona_id, action.as_of, line) is None:
                self._platform.journal.start(persona_id, action.as_of, line)
            figures = {"gave_up_at": action.step, "run": action.run_id}
            sentence = f"failed: {action.sentence}"
            self.end_window(persona_id, action.as_of, line, "failed", sentence=sentence, figures=figures)

    def end_window(
        self,
        persona_id: str,
        as_of: datetime,
        line: Line,
        how: BrokeOff,
        *,
        sentence: str,
        figures: Mapping[str, str],
    ) -> None:
        """Ends a window that its run left under way; one that ended by itself, or never began, stays as it is."""
        standing = self._platform.journal.standing(persona_id, as_of, line)
        if standing is not None and standing.state == "running":
            self._platform.journal.finish(persona_id, as_of, how, sentence, figures=figures, line=line)

    def _queries(self) -> list[FlowRunFilter]:
        soon = FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC) + _SOON)
        held = FlowRunFilterState(name=FlowRunFilterStateName(any_=sorted(HOLDS)))
        return [
            FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ACTIVE))),
            FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
                next_scheduled_start_time=soon,
            ),
            # A hold may lie far ahead when the clock was set back since.
            FlowRunFilter(state=held),
        ]

    def _all(self, query: FlowRunFilter) -> Iterable[FlowRun]:
        ours = FlowFilter(name=FlowFilterName(any_=list(KINDS)))
        offset = 0
        while True:
            page = self._client.read_flow_runs(
                flow_filter=ours,
                flow_run_filter=query,
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=_PAGE,
                offset=offset,
            )
            yield from page
            if len(page) < _PAGE:
                return
            offset += _PAGE

    def _run(self, run: FlowRun, leases: list[Lease], crashes: list[tuple[datetime, str]]) -> Run | None:
        state = run.state
        if state is None or run.parent_task_run_id is not None:
            return None
        if state.type == StateType.CRASHED and run.deployment_id is None:
            return None  # started by hand: nobody would take it up again
        asked = run.parameters.get("persona_ids")
        as_of = run.parameters.get("as_of")
        # A crash that is recorded but whose run was not yet put back is the one that is being decided on.
        personas = frozenset(asked or self._everybody())
        steps = tuple(step for at, step in crashes if not (state.type == StateType.CRASHED and at == state.timestamp))
        created = in_utc(run.created or state.timestamp)
        backfilled = BACKFILLED in run.tags
        # A past window is asked for at once, even where its run is made in a hold: Prefect takes the hold's end for it.
        due = in_utc(run.expected_start_time) if run.expected_start_time and not backfilled else None
        return Run(
            id=str(run.id),
            kind=self._kind(run),
            state=cast(RunState, state.type.value.lower()),
            state_name=state.name or state.type.value,
            since=in_utc(state.timestamp),
            due=due or created,
            created=created,
            next_try=in_utc(run.next_scheduled_start_time) if run.next_scheduled_start_time else None,
            queue=run.work_queue_name or "normal",
            by_schedule=run.auto_scheduled,
            deployed=run.deployment_id is not None,
            replaceable=run.auto_scheduled and as_of is None,
            backfilled=backfilled,
            personas=personas,
            whom=", ".join(asked) if asked else "every persona",
            as_of=_moment(as_of),
            replay=bool(run.parameters.get("replay")),
            alive=self._is_alive(run, leases),
            step=next((lease.doing for lease in leases if lease.doing), ""),
            crashes=steps,
            asked_people=ASKED_PEOPLE in run.tags,
            voted=state.name == AWAITING_VOTES and self._voted(personas, state.timestamp),
            sentence=state.message or "",
        )

    def _voted(self, persona_ids: Iterable[str], since: datetime) -> bool:
        # Not at the top: MLflow comes with it, and the control loop starts without.
        from nabi.steps.people import voted_since

        try:
            return voted_since(self._platform, persona_ids, since)
        except NabiError as error:
            logger.warning("cannot tell whether people have voted: %s", error)
            return False

    def _everybody(self) -> list[str]:
        """By their files' names, which are their ids: a slip in one of the files must not stop the control loop."""
        return [file.stem for file in self._platform.settings.personas.glob("*.yaml")]

    def _is_alive(self, run: FlowRun, leases: list[Lease]) -> bool | None:
        is_alive = any(not self._platform.leases.is_over(lease) for lease in leases)
        # A pending run's process has not come so far; leases that are over are those of an earlier try.
        if is_alive or (leases and run.state is not None and not run.state.is_pending()):
            return is_alive
        # Before it takes a lease, the worker has written down the number of its process.
        pid = run.infrastructure_pid
        number = pid.rpartition(":")[2] if pid else ""
        if number.isdecimal() and carries(int(number), _RUN_OF, str(run.id)):
            return True
        has_process = run.state is not None and run.state.type in _WITH_A_PROCESS and run.deployment_id is not None
        if not has_process or not run.work_pool_name or not self._is_the_only_host(run.work_pool_name):
            return None
        return anybody_carries(_RUN_OF, str(run.id))

    def _is_the_only_host(self, pool: str) -> bool:
        """Whether all workers start processes on this host, by their names: one that is not here is nowhere."""
        if self._client.read_work_pool(pool).type != "process":
            return False
        workers = self._client.read_workers_for_work_pool(pool)
        return {worker.name for worker in workers if worker.status == WorkerStatus.ONLINE} == {os.uname().nodename}

    def _kind(self, run: FlowRun) -> Kind:
        if run.flow_id not in self._kinds:
            self._kinds[run.flow_id] = KINDS[self._client.read_flow(run.flow_id).name]
        return self._kinds[run.flow_id]


def _moment(told: object) -> datetime | None:
    """A parameter as a point in time; None when it is none, which the run will say by itself."""
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
