"""Bootstrap: catalogue dialogues while logs are thin, only as many as the logs lack."""

from __future__ import annotations

from prefect import task

from nabi.steps import bootstrap as core
from nabi.steps.window import Filled, Kept
from nabi.wiring import get_platform
from tasks.resilience import STEP


@task(name="bootstrap", timeout_seconds=600, **STEP)
def fill_up(kept: Kept) -> Filled:
    return core.fill_up(get_platform(), kept)


@task(name="enough to train?", timeout_seconds=60, **STEP)
def why_not_train(filled: Filled) -> str | None:
    """The sentence that says why this window trains nothing; None when it should train."""
    return core.why_not_train(get_platform(), filled)
