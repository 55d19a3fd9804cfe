"""Filter: what may be learned from is kept, the rest is set apart with its reason."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from nabi.steps import collect as core
from nabi.steps.window import Collected, Kept
from nabi.wiring import get_platform
from tasks.resilience import step


@step("filter", of="{collected.window.persona_id}", seconds=1800)
def keep_usable(collected: Collected) -> Kept:
    kept = core.keep_usable(get_platform(), collected)
    table = [{"outcome": "kept", "conversations": kept.num_new + kept.num_learned}]
    table += [{"outcome": f"set apart: {reason}", "conversations": num} for reason, num in kept.refused.items()]
    create_table_artifact(table=table, key=f"{kept.window.persona_id}-filter", description="What was kept, and why not")
    return kept
