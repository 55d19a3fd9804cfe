"""Watch: what does worse than what answered before it is taken back by itself, and a trial goes on by its plan."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from nabi.registry.ledger import Live
from nabi.registry.regression import MIN_REFERENCE, SLOW, Measured, Regression, find_regression, surely_not_worse
from nabi.registry.rollouts import Rollout
from nabi.steps.go_live import mirror, promote
from nabi.wiring import Platform

logger = logging.getLogger(__name__)

WHO = "the watch"
PLANNER = "the rollout's plan"

NUM_REFERENCE = 500
"""Newest answers of the version before that a comparison looks at."""

NUM_RECENT = 5000

NUM_FIRST = 500
"""A version's first answers, which its later ones are compared with."""


def watch(platform: Platform, persona_id: str) -> str | None:
    """Compares, and takes back what is worse; what was done in one sentence, None when nothing was.

    A candidate on trial is compared with the champion, the champion with the version before it and with its own first
    answers. A version with nothing before it that one could go back to is not compared.
    """
    live = platform.ledger.live(persona_id)
    if live is None:
        return None
    trial = platform.rollouts.running(persona_id)
    if trial is not None and trial.candidate != live.champion:
        return _look_at_trial(platform, trial, live.champion)
    if live.previous is None or platform.rollouts.why_barred(live.previous) is not None:
        return None
    why = _why_worse(platform, persona_id, live.previous, live)
    if why is None:
        return None
    # Barred first: a crash in between leaves a version that is live and barred, and the next look finishes it.
    platform.rollouts.bar(persona_id, live.champion, who=WHO, why=why)
    platform.ledger.rollback(persona_id, who=WHO, why=why, only_from=live.champion)
    logger.warning("%s was taken back: %s", live.champion, why)
    mirror(platform, persona_id)
    return f"{live.champion} was taken back: {why}"


def _look_at_trial(platform: Platform, trial: Rollout, champion: str) -> str | None:
    worse = _compare(platform, trial.persona_id, champion, trial.candidate, since=trial.since)
    if worse is None:
        return _go_on(platform, trial, champion)
    why = f"worse than {champion}: {worse}"
    platform.rollouts.bar(trial.persona_id, trial.candidate, who=WHO, why=why)
    # Told before it ends: what is repeated after a crash in between is one notice all the same.
    platform.notices.note(
        "trial_stopped",
        trial.persona_id,
        f"{trial.persona_id}: {trial.candidate} did worse than {champion} and answers no session any more."
        f" Why: nabi adapters history {trial.persona_id}",
        {"candidate": trial.candidate, "champion": champion, "share": trial.share},
        occasion=trial.candidate,
    )
    platform.rollouts.end(trial.persona_id, "stopped", who=WHO, why=why, only_of=trial.candidate)
    mirror(platform, trial.persona_id)
    return f"{trial.candidate} was taken back: {why}"


def _go_on(platform: Platform, trial: Rollout, champion: str) -> str | None:
    """The next share of a planned trial, or its promotion, once the answers at this share speak for it."""
    why = ready_for_more(platform, trial, champion)
    if why is None or trial.plan is None:
        return None
    share = trial.plan.after(trial.share)
    if share is not None:
        grown = platform.rollouts.step(trial, share, who=PLANNER, why=why)
        return f"{trial.candidate} answers {share} % of the sessions now: {why}" if grown else None
    if platform.rollouts.running(trial.persona_id) != trial:
        return None
    promote(platform, trial.candidate, who=PLANNER, why=why)
    mirror(platform, trial.persona_id)
    return f"{trial.candidate} is live: {why}"


def ready_for_more(platform: Platform, trial: Rollout, champion: str) -> str | None:
    """Why a planned trial may take its next step, in words; None when it may not yet, or has no plan."""
    plan = trial.plan
    if plan is None or datetime.now(UTC) < trial.since + timedelta(hours=plan.hours):
        return None
    answers = platform.answers
    recent = answers.measured(trial.persona_id, trial.candidate, num=NUM_RECENT, since=trial.since)
    # What the champion answered at the same time met the same questions and the same load.
    reference = answers.measured(trial.persona_id, champion, num=NUM_REFERENCE, since=trial.since)
    if len(reference) < MIN_REFERENCE:
        reference = answers.measured(trial.persona_id, champion, num=NUM_REFERENCE)
    if len(reference) < MIN_REFERENCE:
        return None
    sure_after = surely_not_worse(reference, recent[::-1], plan.margin, first_look=plan.answers)
    if sure_after is None:
        return None
    return f"{sure_after} answers at {trial.share} %, no measure worse by {plan.margin:.0%} with 95 % certainty"


def _why_worse(platform: Platform, persona_id: str, previous: str, live: Live) -> str | None:
    """What got worse with the champion, in words; None when nothing did."""
    worse = _compare(platform, persona_id, previous, live.champion, since=live.since)
    if worse is not None:
        return f"worse than {previous}: {worse}"
    first, later = platform.answers.first_and_later(
        persona_id, live.champion, since=live.since, num_first=NUM_FIRST, num_later=NUM_RECENT
    )
    if len(first) < NUM_FIRST:
        return None
    # Weights do not grow slow with time: the machine does, and another version would not help.
    worse = find_regression(first, later, leaving_out=SLOW)
    return None if worse is None else f"worse than in its own first {NUM_FIRST} answers: {worse}"


def _compare(platform: Platform, persona_id: str, before: str, now: str, *, since: datetime) -> Regression | None:
    answers = platform.answers
    reference = answers.measured(persona_id, before, num=NUM_REFERENCE)
    if len(reference) < MIN_REFERENCE:
        return None
    recent: list[Measured] = answers.measured(persona_id, now, num=NUM_RECENT, since=since)
    return find_regression(reference, recent)
