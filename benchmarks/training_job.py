"""Trainings as benchmarks ask for them: samples of their own in a folder, and an adapter beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nabi.datasets.files import write_lines
from nabi.datasets.samples import Sample
from nabi.personas.model import RecipeChoice
from nabi.training.base_model import resolve_base
from nabi.training.recipe import resolve_recipe
from nabi.training.train import TrainingJob

MODELS = Path(__file__).resolve().parent.parent / "models"


def write_samples(folder: Path, **files: Sequence[Sample]) -> None:
    """Each list as `NAME.jsonl`; `train`, `holdout` and `preferences` are what a job looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ({"holdout": ()} | files).items():
        (folder / f"{name}.jsonl").write_bytes(write_lines(rows))


def training_job(
    folder: Path,
    name: str,
    prompt: str,
    choice: RecipeChoice,
    *,
    seed: int,
    base: str = "tiny-ko",
    models: Path = MODELS,
    recipe: dict[str, Any] | None = None,
    **changes: Any,
) -> TrainingJob:
    """The training of `folder`/`name` on the samples in `folder`.

    Args:
        folder: filled by `write_samples`.
        name: of the adapter.
        prompt: the persona's.
        choice: from which, and from what the base fixes, the recipe follows.
        seed: of the training.
        base: to train over.
        models: where the base lies.
        recipe: values that win over what the base fixes.
        changes: further fields of the job, in the place of what stands here.
    """
    settled = resolve_recipe(choice, resolve_base(base, models)).model_copy(update=recipe or {})
    preferences = folder / "preferences.jsonl"
    told: dict[str, Any] = {
        "persona_id": "benchmark",
        "system_prompt": prompt,
        "uses_facts": False,
        "base_model": base,
        "models_dir": models,
        "train_file": folder / "train.jsonl",
        "holdout_file": folder / "holdout.jsonl",
        "preferences_file": preferences if preferences.exists() else None,
        "recipe": settled,
        "seed": seed,
        "out_dir": folder / name,
        "dataset_version": "benchmark",
        "dataset_digest": "benchmark",
        "commit": "benchmark",
    }
    return TrainingJob(**(told | changes))
