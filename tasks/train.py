"""Train: a LoRA adapter from each due persona's dataset version, those of one base in one process."""

from __future__ import annotations

from nabi.personas.model import Preset
from nabi.steps.window import Candidate, Snapshot
from nabi.wiring import get_platform
from tasks.progress import TRAINING_TO, enter, reached, training_progress
from tasks.resilience import step


@step("train together", seconds=6 * 3600)
def train_together(due: list[Snapshot], preset: Preset | None) -> int:
    """Makes the adapters of several personas over one loaded base; `train_candidate` then finds them finished."""
    if not due:
        return 0
    from nabi.steps import train as core

    moved = {snapshot.window: training_progress(snapshot.window) for snapshot in due}

    def on_progress(snapshot: Snapshot, share: float, message: str) -> None:
        moved[snapshot.window](share, message)

    return core.train_together(get_platform(), due, preset, on_progress)


@step("train", of="{snapshot.window.persona_id}", seconds=6 * 3600)
def train_candidate(snapshot: Snapshot, preset: Preset | None) -> Candidate:
    from nabi.steps import train as core

    if reached(snapshot.window) < TRAINING_TO:  # else it was trained with the others
        enter(snapshot.window, "train")
    return core.train_candidate(get_platform(), snapshot, preset, training_progress(snapshot.window))
