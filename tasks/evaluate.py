"""Evaluate: base, champion and candidate on the same prompts, by the engine that serves."""

from __future__ import annotations

from nabi.steps.window import Candidate, Scored
from nabi.wiring import get_platform
from tasks.progress import enter
from tasks.resilience import step


@step("evaluate", of="{candidate.window.persona_id}", seconds=3600)
def evaluate_candidate(candidate: Candidate) -> Scored:
    from nabi.steps import evaluate as core

    enter(candidate.window, "evaluate")
    return core.evaluate_candidate(get_platform(), candidate)
