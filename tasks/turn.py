"""A run's turn: its signs of life, and the second look at whether it may go before it does anything.

The control loop holds runs before a worker takes them. What slips past it, because it was away or a second too late,
is put back here: the same run, without a slot and without a process, until the control loop lets it go.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Paused, Scheduled

from nabi.control.actions import AWAITING_RESOURCES, AWAITING_VOTES
from nabi.control.decide import HOLD_FOR, OWN_LOOK_AFTER
from nabi.control.holds import being_taught, earlier_window, no_room
from nabi.control.queue import superseded
from nabi.control.runs import Situation
from nabi.registry.leases import Lease, persona_busy, persona_lease, run_lease
from nabi.wiring import get_platform
from tasks.runs import ASKED_PEOPLE, RunBook, working_under
from tasks.sense import Sensed, sense

logger = logging.getLogger("nabi.progress")


def show_life() -> None:
    """Shows from now until this process ends that it lives, and what it is doing.

    To its end, not to the flow's: between the two a run without a sign of life would look dead.
    """
    platform = get_platform()
    platform.leases.sweep()
    platform.holding.take([run_lease(str(flow_run.id))], str(flow_run.id))


@contextmanager
def our_turn(persona_ids: list[str] | None) -> Iterator[None]:
    """Works on the personas alone, on a machine with room for it; else a run of the platform goes back to its queue.

    A run that somebody started by hand goes on however busy the machine is.

    Raises:
        Abort: the run was put back; the process ends in good order.
        PersonaBusy: the run was started by hand, and another one works on a persona.
    """
    show_life()
    sensed = sense()
    if deployment.id:
        _take_or_go_back(persona_ids, sensed)
    else:
        _take_or_refuse(persona_ids)
    try:
        yield
    finally:
        get_platform().holding.give_back(_leases_of(persona_ids))


def _take_or_go_back(persona_ids: list[str] | None, sensed: Sensed) -> None:
    with get_client(sync_client=True) as client:
        book = RunBook(client, get_platform())
        runs = book.read()
        me = next(run for run in runs if run.id == flow_run.id)
        if sensed.gpu_free_bytes is not None:  # of this machine, which need not be the control loop's
            me = replace(me, gpu_bytes=book.gpu_bytes(me.personas, flow_run.parameters.get("preset")))
        machine = Situation(saturated=sensed.saturated, gpu_free_bytes=sensed.gpu_free_bytes)
        # As it was a moment ago, in the queue.
        queue = [replace(run, state="scheduled") if run.id == me.id else run for run in runs]
        if mine := next((stale for stale in superseded(queue, Situation()) if stale.run_id == me.id), None):
            _leave(client, Cancelled(name=mine.name, message=mine.sentence))
        reason = earlier_window(me, runs) or no_room(me, machine)
        reason = reason or being_taught(me, runs, map(working_under, _take(persona_ids)))
        if reason:
            pause = OWN_LOOK_AFTER if reason.name == AWAITING_RESOURCES else HOLD_FOR
            until = datetime.now(UTC) + pause
            _leave(client, Scheduled(name=reason.name, scheduled_time=until, message=reason.sentence))


def _take_or_refuse(persona_ids: list[str] | None) -> None:
    for other in _take(persona_ids):
        raise persona_busy(other)


def _take(persona_ids: list[str] | None) -> tuple[Lease, ...]:
    """Takes the personas; those of others that stand in the way, empty when all are ours."""
    return get_platform().holding.take(_leases_of(persona_ids), str(flow_run.id))


def _leases_of(persona_ids: list[str] | None) -> list[str]:
    return [persona_lease(persona_id) for persona_id in persona_ids or get_platform().persona_ids()]


def _leave(client: SyncPrefectClient, state: State[None]) -> NoReturn:
    """Puts the run into a state that is not of this process's doing, and ends the process in good order."""
    logger.info("%s: %s", state.name, state.message)
    client.set_flow_run_state(UUID(str(flow_run.id)), state, force=True)
    get_platform().holding.give_back([run_lease(str(flow_run.id))])
    raise Abort(state.message)


def come_again(sentence: str) -> NoReturn:
    """Ends this process; the run starts anew in a minute, to go on with what is left."""
    later = datetime.now(UTC) + timedelta(minutes=1)
    with get_client(sync_client=True) as client:
        _leave(client, Scheduled(name="AwaitingRoom", scheduled_time=later, message=sentence))


def sleep_until_voted(sentence: str) -> NoReturn:
    """Ends this process; the run is suspended in the pages until people have voted, or somebody resumes it there."""
    with get_client(sync_client=True) as client:
        run_id = UUID(str(flow_run.id))
        # The mark stays: a run that has been so far is not replaced by a later one of the schedule.
        client.update_flow_run(run_id, tags={*client.read_flow_run(run_id).tags, ASKED_PEOPLE})
        _leave(client, Paused(name=AWAITING_VOTES, reschedule=True, message=sentence))
