"""Snapshot: train, holdout and anchors become one DVC version."""

from __future__ import annotations

from nabi.steps import snapshot as core
from nabi.steps.pages import dataset_page
from nabi.steps.window import Filled, Snapshot
from nabi.wiring import get_platform
from tasks.pages import markdown
from tasks.progress import enter
from tasks.resilience import step


@step("snapshot", of="{filled.window.persona_id}", seconds=1800)
def take_snapshot(filled: Filled) -> Snapshot:
    enter(filled.window, "snapshot")
    platform = get_platform()
    snapshot = core.take_snapshot(platform, filled)
    markdown(f"{filled.window.persona_id}-dataset", dataset_page(platform, snapshot), "The dataset version")
    return snapshot
