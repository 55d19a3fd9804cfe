"""Train: a LoRA adapter from one dataset version, in a process of its own."""

from __future__ import annotations

from nabi.personas.model import Preset
from nabi.steps import train as core
from nabi.steps.window import Candidate, Snapshot
from nabi.wiring import get_platform
from tasks.progress import enter, training_progress
from tasks.resilience import step


@step("train", of="{snapshot.window.persona_id}", seconds=6 * 3600)
def train_candidate(snapshot: Snapshot, preset: Preset | None) -> Candidate:
    enter(snapshot.window, "train")
    return core.train_candidate(get_platform(), snapshot, preset, training_progress(snapshot.window))
