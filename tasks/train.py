"""Train: a LoRA adapter from one dataset version, in a process of its own."""

from __future__ import annotations

from prefect import task

from nabi.personas.model import Preset
from nabi.steps import train as core
from nabi.steps.window import Candidate, Snapshot
from nabi.wiring import get_platform
from tasks.progress import training_progress
from tasks.resilience import STEP


@task(name="train", timeout_seconds=6 * 3600, **STEP)
def train_candidate(snapshot: Snapshot, preset: Preset | None) -> Candidate:
    window = snapshot.window
    progress = training_progress(f"{window.persona_id}-{window.as_of:%Y%m%dt%H%M}")
    return core.train_candidate(get_platform(), snapshot, preset, progress)
