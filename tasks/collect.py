"""Collect: consented conversations before the window's end that were not learned from yet."""

from __future__ import annotations

from datetime import datetime

from prefect.runtime import flow_run

from nabi.registry.journal import LIVE, REPLAY
from nabi.steps import collect as core
from nabi.steps.window import Collected, Window
from nabi.wiring import get_platform
from tasks.progress import enter
from tasks.resilience import step


@step("open window", seconds=60)
def open_windows(persona_ids: list[str] | None, as_of: datetime | None, replay: bool) -> list[Window]:
    """The windows still to be decided; a window that was decided before is not run twice.

    Args:
        persona_ids: None for every declared persona.
        as_of: None for the time the run was scheduled for, so that a late run still serves its own window.
        replay: plays the past again beside what really happened.
    """
    platform = get_platform()
    end = as_of or flow_run.get_scheduled_start_time()
    line = REPLAY if replay else LIVE
    windows = [Window(persona_id=name, as_of=end, line=line) for name in persona_ids or platform.persona_ids()]
    return [window for window in windows if core.open_window(platform, window) is None]


@step("collect", of="{window.persona_id}", seconds=600)
def collect(window: Window) -> Collected:
    enter(window, "collect")
    return core.collect(get_platform(), window)
