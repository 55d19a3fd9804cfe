"""Collect: consented conversations before the window's end that were not learned from yet."""

from __future__ import annotations

from datetime import datetime

from prefect import task

from nabi.steps import collect as core
from nabi.steps.window import Collected, Window
from nabi.wiring import get_platform
from tasks.resilience import STEP


@task(name="open window", timeout_seconds=60)
def open_windows(persona_ids: list[str], as_of: datetime) -> list[Window]:
    """The windows still to be decided; a window that was decided before is not run twice."""
    windows = [Window(persona_id=persona_id, as_of=as_of) for persona_id in persona_ids]
    return [window for window in windows if core.open_window(get_platform(), window) is None]


@task(name="collect", timeout_seconds=600, **STEP)
def collect(window: Window) -> Collected:
    return core.collect(get_platform(), window)
