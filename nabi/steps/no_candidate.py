"""How a window ends that brings no candidate: skipped, or failed. Most do, so nothing heavy is imported here."""

from __future__ import annotations

from nabi.error_kinds import Kind
from nabi.steps.window import Ending, Filled, Window
from nabi.wiring import Platform


def skip(platform: Platform, filled: Filled, why: str) -> Ending:
    """Ends a window that trains nothing."""
    window = filled.window
    figures = {"num_new": filled.num_new}
    platform.journal.finish(window.persona_id, window.as_of, "skipped", why, figures=figures, line=window.line)
    return Ending(window=window, state="skipped", sentence=why)


def fail(platform: Platform, window: Window, why: str, kind: Kind) -> Ending:
    """Records a failure; the live adapter and the conversations stay as they were."""
    sentence = f"failed: {why}"
    figures = {"kind": kind.value}
    platform.journal.finish(window.persona_id, window.as_of, "failed", sentence, figures=figures, line=window.line)
    return Ending(window=window, state="failed", sentence=sentence)
