"""Evaluate: base, champion and candidate on the same prompts, by the engine that serves."""

from __future__ import annotations

from prefect import task

from nabi.steps import evaluate as core
from nabi.steps.window import Candidate, Scored
from nabi.wiring import get_platform
from tasks.resilience import STEP


@task(name="evaluate", timeout_seconds=3600, **STEP)
def evaluate_candidate(candidate: Candidate) -> Scored:
    return core.evaluate_candidate(get_platform(), candidate)
