"""Snapshot: train, holdout and anchors become one DVC version."""

from __future__ import annotations

from prefect import task

from nabi.steps import snapshot as core
from nabi.steps.window import Filled, Snapshot
from nabi.wiring import get_platform
from tasks.resilience import STEP


@task(name="snapshot", timeout_seconds=1800, **STEP)
def take_snapshot(filled: Filled) -> Snapshot:
    return core.take_snapshot(get_platform(), filled)
