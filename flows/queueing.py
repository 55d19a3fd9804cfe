"""How a person, a command or another program hands a run to the platform, and how past windows are queued."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import State
from prefect.states import Scheduled

from flows.work_pool import LOOP, LOW
from nabi.control.actions import AWAITING_EARLIER
from nabi.control.backfill import missing
from nabi.control.decide import HOLD_FOR
from nabi.control.queue import full, waiting
from nabi.control.runs import MOMENT, Run, Situation
from nabi.errors import RunQueueFull
from nabi.personas.model import Preset
from nabi.registry.journal import DECIDED, LIVE, REPLAY
from nabi.wiring import get_platform
from tasks.runs import BACKFILLED, RunBook


@dataclass(frozen=True)
class Queued:
    """What became of the windows that somebody asked for.

    Args:
        new: runs that were queued now.
        underway: runs that wait or work already.
        left: ends of windows that the queue has no room for.
    """

    new: tuple[UUID, ...]
    underway: tuple[UUID, ...]
    num_decided: int
    left: tuple[datetime, ...]

    @property
    def sentence(self) -> str:
        """For people."""
        parts = [f"{len(self.new)} windows queued"]
        if self.underway:
            parts.append(f"{len(self.underway)} wait or run already")
        if self.num_decided:
            parts.append(f"{self.num_decided} were decided before")
        if self.left:
            parts.append(f"{len(self.left)} do not fit into the queue yet: ask again when fewer wait")
        return ", ".join(parts)


def submit(
    persona_ids: Sequence[str] | None, as_of: datetime | None, preset: Preset | None, *, queue: str
) -> tuple[UUID, str]:
    """Hands one run to the platform; its id and its name.

    Args:
        persona_ids: None for every declared persona.
        as_of: end of the window; None for now.
        queue: `high`, `normal` or `low`.

    Raises:
        RunQueueFull: as many runs wait as may wait; says which.
    """
    with get_client(sync_client=True) as client:
        line = _line(RunBook(client, get_platform()).read())
        situation = _situation()
        if len(line) >= situation.max_waiting:
            raise RunQueueFull(full(line, situation))
        run = client.create_flow_run_from_deployment(
            client.read_deployment_by_name(LOOP).id,
            parameters=_parameters(persona_ids, as_of, preset),
            name=_name(persona_ids, as_of),
            work_queue_name=queue,
        )
    return run.id, run.name


def runs_now() -> list[Run]:
    """Every run that works or waits, in the order in which they go; the schedule's future is left out."""
    with get_client(sync_client=True) as client:
        runs = RunBook(client, get_platform()).read()
    line = {run.id for run in _line(runs)}
    return sorted((run for run in runs if run.is_active or run.id in line), key=lambda run: (run.id in line, run.order))


def queue_windows(
    persona_ids: Sequence[str], ends: Iterable[datetime], preset: Preset | None = None, *, replay: bool = False
) -> Queued:
    """Queues the windows that are neither decided nor queued yet, oldest first, as far as the queue has room.

    Safe to repeat, also at the same time: a window that failed is queued again, anything else is not.
    """
    platform = get_platform()
    line = REPLAY if replay else LIVE
    wanted = [(as_of, persona_id) for as_of in sorted(ends) for persona_id in persona_ids]
    with get_client(sync_client=True) as client:
        runs = RunBook(client, platform).read()
        decided = {
            (as_of, persona_id)
            for as_of, persona_id in wanted
            if (standing := platform.journal.standing(persona_id, as_of, line)) and standing.state in DECIDED
        }
        lined = [run for run in runs if run.kind == "learn" and run.as_of and run.replay == replay]
        underway = [run for run in lined if _serves(run, wanted)]
        served = {(run.until, persona_id) for run in underway for persona_id in run.personas}
        windows = missing(wanted, decided | served)
        room = max(0, _situation().max_waiting - len(_line(runs)))
        new: list[UUID] = []
        for as_of, personas in windows[:room]:
            new.append(_queue(client, as_of, personas, preset, replay=replay, waits=bool(underway or new)))
    return Queued(
        new=tuple(new),
        underway=tuple(UUID(run.id) for run in underway),
        num_decided=len({as_of for as_of, _ in decided}),
        left=tuple(as_of for as_of, _ in windows[room:]),
    )


def _serves(run: Run, wanted: Iterable[tuple[datetime, str]]) -> bool:
    return any(run.until == as_of and persona_id in run.personas for as_of, persona_id in wanted)


def _queue(
    client: SyncPrefectClient,
    as_of: datetime,
    persona_ids: Sequence[str],
    preset: Preset | None,
    *,
    replay: bool,
    waits: bool,
) -> UUID:
    """Queues one window; held from the start when others go before it, so that no process begins in vain."""
    later = datetime.now(UTC) + HOLD_FOR
    held: State[None] = Scheduled(name=AWAITING_EARLIER, scheduled_time=later, message="past windows go in order")
    window = f"{'replay of ' if replay else ''}window {as_of.isoformat()}"
    tried = client.count_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[BACKFILLED, window])))
    run = client.create_flow_run_from_deployment(
        client.read_deployment_by_name(LOOP).id,
        parameters=_parameters(persona_ids, as_of, preset) | {"replay": replay},
        name=_name(persona_ids, as_of) + (" (replay)" if replay else ""),
        work_queue_name=LOW,
        tags=[BACKFILLED, window],
        state=held if waits else None,
        # The same for whoever asks at the same time; another one for a window that is repeated.
        idempotency_key=f"backfill {window} {','.join(persona_ids)} {tried}",
    )
    return run.id


def _parameters(persona_ids: Sequence[str] | None, as_of: datetime | None, preset: Preset | None) -> dict[str, Any]:
    return {
        "persona_ids": list(persona_ids) if persona_ids else None,
        "as_of": as_of.isoformat() if as_of else None,
        "preset": preset,
    }


def _line(runs: Iterable[Run]) -> list[Run]:
    return waiting(runs, _situation())


def _situation() -> Situation:
    return Situation(max_waiting=get_platform().settings.max_waiting_runs)


def _name(persona_ids: Sequence[str] | None, as_of: datetime | None) -> str:
    whom = ", ".join(persona_ids or ["every persona"])
    return f"{whom} until {as_of:{MOMENT}}" if as_of else f"{whom} until now"
