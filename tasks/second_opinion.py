"""Second opinion: a judge compares the answers, where a persona has one."""

from __future__ import annotations

from nabi.steps.window import Scored
from nabi.wiring import get_platform
from tasks.progress import enter
from tasks.resilience import step


def ask_judge(scored: Scored) -> Scored:
    """The scores with what the judge says; no step at all for a persona without one."""
    persona = get_platform().persona(scored.candidate.window.persona_id)
    return scored if persona.evaluation.judge is None else _ask_judge(scored)


@step("ask the judge", of="{scored.candidate.window.persona_id}", seconds=900)
def _ask_judge(scored: Scored) -> Scored:
    from nabi.steps import second_opinion as core

    enter(scored.candidate.window, "judge")
    return core.ask_judge(get_platform(), scored)
