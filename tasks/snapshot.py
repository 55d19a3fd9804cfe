"""Snapshot: train, holdout and anchors become one DVC version."""

from __future__ import annotations

from nabi.steps import snapshot as core
from nabi.steps.window import Filled, Snapshot
from nabi.wiring import get_platform
from tasks.progress import enter
from tasks.resilience import step


@step("snapshot", of="{filled.window.persona_id}", seconds=1800)
def take_snapshot(filled: Filled) -> Snapshot:
    enter(filled.window, "snapshot")
    return core.take_snapshot(get_platform(), filled)
