"""Filter: what may be learned from is kept, the rest is set apart with its reason."""

from __future__ import annotations

from nabi.steps import collect as core
from nabi.steps.pages import filter_table
from nabi.steps.window import Collected, Kept
from nabi.wiring import get_platform
from tasks.pages import table
from tasks.progress import enter
from tasks.resilience import step


@step("filter", of="{collected.window.persona_id}", seconds=1800)
def keep_usable(collected: Collected) -> Kept:
    enter(collected.window, "filter")
    kept = core.keep_usable(get_platform(), collected)
    table(f"{kept.window.persona_id}-filter", filter_table(kept), "What may be learned from, and why the rest may not")
    return kept
