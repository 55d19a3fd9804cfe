"""Bootstrap: catalogue dialogues while logs are thin, only as many as the logs lack."""

from __future__ import annotations

from nabi.steps import bootstrap as core
from nabi.steps.window import Filled, Kept
from nabi.wiring import get_platform
from tasks.progress import enter
from tasks.resilience import step


@step("bootstrap", of="{kept.window.persona_id}", seconds=600)
def fill_up(kept: Kept) -> Filled:
    enter(kept.window, "bootstrap")
    return core.fill_up(get_platform(), kept)


@step("enough to train?", of="{filled.window.persona_id}", seconds=60)
def why_not_train(filled: Filled) -> str | None:
    """The sentence that says why this window trains nothing; None when it should train."""
    return core.why_not_train(get_platform(), filled)
