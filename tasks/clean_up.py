"""Clean up: what fills the disk and nobody needs any more goes."""

from __future__ import annotations

from nabi.steps import clean_up as core
from nabi.steps.clean_up import CleanedUp
from nabi.wiring import get_platform
from tasks.resilience import step


@step("clean up", seconds=3600, kept=False)
def clean_up() -> CleanedUp:
    return core.clean_up(get_platform())
