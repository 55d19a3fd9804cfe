"""Gate: deploy only what is really better."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from nabi.steps import conclude as core
from nabi.steps.conclude import Judged
from nabi.steps.window import Scored
from nabi.wiring import get_platform
from tasks.resilience import step


@step("gate", of="{scored.candidate.window.persona_id}", seconds=600)
def judge(scored: Scored) -> Judged:
    judged = core.judge(get_platform(), scored)
    create_markdown_artifact(
        markdown=f"## {scored.candidate.adapter}\n\n{judged.sentence}",
        key=f"{scored.candidate.window.persona_id}-verdict",
        description="The gate's verdict",
    )
    return judged
