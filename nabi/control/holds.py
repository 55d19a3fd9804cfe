"""Why a run that is due has to wait: an earlier window, its persona, or the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nabi.control.actions import AWAITING_EARLIER, AWAITING_PERSONA, AWAITING_RESOURCES
from nabi.control.runs import MOMENT, Run, Situation, Working


@dataclass(frozen=True)
class Reason:
    """Why a run waits: the name of the state, and the sentence beside it."""

    name: str
    sentence: str


def why_wait(run: Run, runs: Sequence[Run], situation: Situation, ahead: Sequence[Run] = ()) -> Reason | None:
    """The first reason that keeps a run from starting; None when it may go.

    Only runs that learn ever wait: upkeep deletes what people asked to be deleted, however busy the machine is.

    Args:
        runs: all that have not ended.
        ahead: those that wait too and go first.
    """
    if run.kind != "learn":
        return None
    return (
        earlier_window(run, runs)
        or being_taught(run, runs, situation.working)
        or _goes_first(run, runs, ahead)
        or no_room(run, situation)
    )


def earlier_window(run: Run, runs: Sequence[Run]) -> Reason | None:
    """Past windows of a persona go in order, since each learns from what the ones before left."""
    if not run.backfilled:
        return None
    earlier = [
        other
        for other in runs
        if other.id != run.id
        and other.backfilled
        and other.replay == run.replay
        and other.until < run.until
        and other.personas & run.personas
    ]
    if not earlier:
        return None
    first = min(earlier, key=lambda other: other.until)
    return Reason(AWAITING_EARLIER, f"past windows go in order: {first.title} has not ended yet ({_state_of(first)})")


def being_taught(run: Run, runs: Sequence[Run], working: Iterable[Working]) -> Reason | None:
    """Another run works on one of its personas at this moment."""
    titles = {other.id: other.title for other in runs}
    for one in working:
        if one.persona in run.personas and one.run_id != run.id:
            step = f", at {one.step}" if one.step else ""
            return Reason(
                AWAITING_PERSONA,
                f"{one.persona} is being taught by {titles.get(one.run_id, one.run_id)}{step} (on {one.where} since "
                f"{one.since:{MOMENT}}); one run a persona at a time",
            )
    return None


def no_room(run: Run, situation: Situation) -> Reason | None:
    """The machine is saturated, or its GPU has too little memory free for this training."""
    if situation.saturated:
        return Reason(AWAITING_RESOURCES, situation.saturated)
    free, needed = situation.gpu_free_bytes, run.gpu_bytes
    if free is not None and needed is not None and needed > free:
        return Reason(
            AWAITING_RESOURCES,
            f"GPU memory {free / 2**30:.1f} GiB free, this training needs about {needed / 2**30:.1f} GiB",
        )
    return None


def _goes_first(run: Run, runs: Sequence[Run], ahead: Sequence[Run]) -> Reason | None:
    for other in (*(one for one in runs if one.is_active and one.kind == "learn"), *ahead):
        if other.id != run.id and (shared := other.personas & run.personas):
            return Reason(
                AWAITING_PERSONA,
                f"{other.title} goes first ({_state_of(other)}); both are about {', '.join(sorted(shared))}, "
                "and one run a persona works at a time",
            )
    return None


def _state_of(run: Run) -> str:
    return f"at {run.step}" if run.state == "running" and run.step else run.state_name
