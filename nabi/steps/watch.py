"""Watch: a live version, or one on trial, that does worse than what answered before it is taken back by itself."""

from __future__ import annotations

import logging
from datetime import datetime

from nabi.registry.regression import MIN_REFERENCE, Measured, Regression, find_regression
from nabi.steps.go_live import mirror
from nabi.wiring import Platform

logger = logging.getLogger(__name__)

WHO = "the watch"

NUM_REFERENCE = 500
"""Newest answers of the version before that a comparison looks at."""

NUM_RECENT = 5000


def watch(platform: Platform, persona_id: str) -> str | None:
    """Compares, and takes back what is worse; what was done in one sentence, None when nothing was.

    A candidate on trial is compared with the champion, the champion with the version before it. A version with nothing
    before it that one could go back to is not compared.
    """
    live = platform.ledger.live(persona_id)
    if live is None:
        return None
    trial = platform.rollouts.running(persona_id)
    if trial is not None and trial.candidate != live.champion:
        worse = _compare(platform, persona_id, live.champion, trial.candidate, since=trial.since)
        if worse is None:
            return None
        why = f"worse than {live.champion}: {worse}"
        platform.rollouts.bar(persona_id, trial.candidate, who=WHO, why=why)
        platform.rollouts.end(persona_id, "stopped", who=WHO, why=why)
        return f"{trial.candidate} was taken back: {why}"
    if live.previous is None or platform.rollouts.why_barred(live.previous) is not None:
        return None
    worse = _compare(platform, persona_id, live.previous, live.champion, since=live.since)
    if worse is None:
        return None
    why = f"worse than {live.previous}: {worse}"
    # Barred first: a crash in between leaves a version that is live and barred, and the next look finishes it.
    platform.rollouts.bar(persona_id, live.champion, who=WHO, why=why)
    platform.ledger.rollback(persona_id, who=WHO, why=why, only_from=live.champion)
    logger.warning("%s was taken back: %s", live.champion, why)
    mirror(platform, persona_id)
    return f"{live.champion} was taken back: {why}"


def _compare(platform: Platform, persona_id: str, before: str, now: str, *, since: datetime) -> Regression | None:
    answers = platform.answers
    reference = answers.measured(persona_id, before, num=NUM_REFERENCE)
    if len(reference) < MIN_REFERENCE:
        return None
    recent: list[Measured] = answers.measured(persona_id, now, num=NUM_RECENT, since=since)
    return find_regression(reference, recent)
