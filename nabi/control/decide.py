"""One look at all runs: what is to be done now. Pure, so that every rule can be tried without a server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from nabi.control.actions import AWAITING_EARLIER, AWAITING_RESOURCES, AWAITING_VOTES, HOLDS, Action, Hold, Release
from nabi.control.holds import Reason, why_wait
from nabi.control.queue import superseded, too_many
from nabi.control.recovery import recover
from nabi.control.runs import Run, Situation

LOOK_AHEAD = timedelta(seconds=20)
"""A worker takes runs up to 10 s before they are due; what has to wait must be held before that."""

HOLD_FOR = timedelta(minutes=5)
"""Should the control loop be away for longer, the worker starts the run, and the run itself looks (the second line)."""

OWN_LOOK_AFTER = timedelta(minutes=1)
"""How long a run waits that found its machine saturated itself. The control loop, which may run on another machine or
judge over a longer time, does not let it go earlier: it would come back, with a process each time."""

LOOK_AGAIN = timedelta(hours=6)
"""How often a run that waits for people's votes starts, to see whether their time is over."""

RENEW = timedelta(seconds=45)
"""A hold that ends sooner than this is renewed, with the figures of the day."""


def decide(runs: Sequence[Run], situation: Situation) -> list[Action]:
    """What is to be done, in order; nothing when everything is as it should be.

    Args:
        runs: all that have not ended.
    """
    actions: list[Action] = [*recover(runs, situation), *_voted(runs, situation)]
    stale = superseded(runs, situation)
    left = _without(runs, {action.run_id for action in stale})
    surplus = too_many(left, situation)
    left = _without(left, {action.run_id for action in surplus})
    return [*actions, *stale, *surplus, *_holds(left, situation)]


def _voted(runs: Sequence[Run], situation: Situation) -> list[Action]:
    """Runs that people's votes let go on; one that nobody votes on looks by itself whether it may wait any longer."""
    asking = [run for run in runs if run.state == "paused" and run.state_name == AWAITING_VOTES]
    released: list[Action] = []
    for run in asking:
        if run.voted:
            released.append(Release(run.id, situation.now, "people have voted"))
        elif situation.now - run.since >= LOOK_AGAIN:
            released.append(Release(run.id, situation.now, "looks whether it may still wait for people's votes"))
    return released


def _holds(runs: Sequence[Run], situation: Situation) -> list[Action]:
    actions: list[Action] = []
    ahead: list[Run] = []
    for run in sorted((run for run in runs if _is_near(run, situation)), key=lambda run: run.order):
        reason = why_wait(run, runs, situation, ahead)
        if reason is None or reason.name != AWAITING_EARLIER:
            ahead.append(run)  # else it would keep the very window waiting that it waits for
        if action := _change(run, reason, situation, len(ahead)):
            actions.append(action)
    return actions


def _is_near(run: Run, situation: Situation) -> bool:
    """It may start soon, or waits already: a hold's own time says nothing, least of all when the clock was set back."""
    if run.kind != "learn" or run.state != "scheduled" or run.next_try is None:
        return False
    return run.state_name in HOLDS or run.next_try <= situation.now + LOOK_AHEAD


def _change(run: Run, reason: Reason | None, situation: Situation, place: int) -> Hold | Release | None:
    held = run.state_name in HOLDS
    if reason is None:
        if run.state_name == AWAITING_RESOURCES and not situation.watched:
            return None  # a control loop that has just started knows nothing better yet
        if run.state_name == AWAITING_RESOURCES and _looks_by_itself(run, situation.now):
            return None
        # A microsecond apart, so that the worker takes them in their order.
        at = max(situation.now, run.due) + timedelta(microseconds=place)
        return Release(run.id, at, "free to go") if held else None
    assert run.next_try is not None
    left = run.next_try - situation.now
    if run.state_name == reason.name and RENEW < left <= HOLD_FOR:
        return None
    return Hold(run.id, reason.name, situation.now + HOLD_FOR, reason.sentence)


def _looks_by_itself(run: Run, now: datetime) -> bool:
    """Whether it was put back by its own look: a shorter wait than any hold, unless the clock went back."""
    assert run.next_try is not None
    return run.next_try - run.since <= OWN_LOOK_AFTER and run.next_try - now <= 2 * OWN_LOOK_AFTER


def _without(runs: Sequence[Run], gone: set[str]) -> list[Run]:
    return [run for run in runs if run.id not in gone]
