"""Forget: what people asked to be deleted, finished before anything new begins."""

from __future__ import annotations

from nabi.steps import forget as core
from nabi.wiring import get_platform
from tasks.resilience import step


@step("finish deletions", seconds=3600, kept=False)
def finish_deletions() -> int:
    """Carries out every open request, also those that were interrupted; how many that were."""
    return len(core.finish_pending(get_platform()))


@step("finish deletions first", seconds=3600, kept=False)
def finish_deletions_first() -> None:
    """The same before a run, which does not wait for another one to end."""
    core.finish_before_run(get_platform())
