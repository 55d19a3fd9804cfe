"""Gate: deploy only what is really better."""

from __future__ import annotations

from nabi.steps.pages import comparison_table, verdict_page
from nabi.steps.window import Judged, Scored
from nabi.wiring import get_platform
from tasks.pages import markdown, table
from tasks.progress import enter
from tasks.resilience import step


@step("gate", of="{scored.candidate.window.persona_id}", seconds=600)
def judge(scored: Scored) -> Judged:
    from nabi.steps import conclude as core

    window = scored.candidate.window
    enter(window, "gate")
    judged = core.judge(get_platform(), scored)
    table(f"{window.persona_id}-comparison", comparison_table(scored), "Every contender on the same prompts")
    markdown(f"{window.persona_id}-verdict", verdict_page(get_platform(), judged), "The gate's verdict")
    return judged
