"""A minute base model for tests that need a real one but no skill of it."""

from __future__ import annotations

import os

# Read once, when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from minute_base import build_tiny_base


@pytest.fixture(scope="session")
def tiny_base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the minute base; its parent serves as `models_dir`, its name is `minute`. Read-only by agreement."""
    return build_tiny_base(tmp_path_factory.mktemp("models") / "minute")


@pytest.fixture(scope="session")
def tiny_base(tiny_base_dir: Path) -> Any:
    """The minute base in memory. Adapters may not be put on it: load another where a test trains or serves."""
    from nabi.training.base_model import load_base, resolve_base

    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


@pytest.fixture(scope="session")
def make_job(tiny_base_dir: Path) -> Callable[..., Any]:
    """Makes a training job of a few steps in a folder of its own; keyword arguments replace fields of the job."""
    from nabi.training.recipe import Recipe
    from nabi.training.train import TrainingJob

    def make(folder: Path, *, num_samples: int = 8, recipe: dict[str, Any] | None = None, **changes: Any) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        for name, count in (("train.jsonl", num_samples), ("holdout.jsonl", 3)):
            samples = [make_sample(number, name) for number in range(count)]
            (folder / name).write_text("".join(sample.model_dump_json() + "\n" for sample in samples))
        values: dict[str, Any] = {
            "persona_id": "nabiyam",
            "system_prompt": "짧게 답해요.",
            "uses_facts": True,
            "base_model": "minute",
            "models_dir": tiny_base_dir.parent,
            "train_file": folder / "train.jsonl",
            "holdout_file": folder / "holdout.jsonl",
            "recipe": Recipe(**{"r": 4, "alpha": 8, "epochs": 2, "learning_rate": 5e-3, **(recipe or {})}),
            "seed": 11,
            "out_dir": folder / "adapter",
            "dataset_version": "v1",
            "dataset_digest": "d" * 32,
            "commit": "c" * 40,
            "threads": 1,
        }
        return TrainingJob(**(values | changes))

    return make


def make_sample(number: int, prefix: str) -> Any:
    from nabi.conversations.records import Message
    from nabi.datasets.samples import Sample

    answer = f"봄분식에서 라면 {number},500원 어때요? 😊"
    return Sample(
        sample_id=f"{prefix}-{number}",
        conversation_id=f"{prefix}-c{number}",
        persona_id="nabiyam",
        source="bootstrap",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
        facts=({"가게": "봄분식", "메뉴": "라면", "가격": f"{number},500원"},),
        messages=(Message(role="user", content="라면 먹고 싶어"), Message(role="assistant", content=answer)),
    )


@pytest.fixture(scope="session")
def trained_adapter(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """One finished training over the minute base: (job, result). Read-only: copy the folder before changing it."""
    from nabi.training.progress import no_progress
    from nabi.training.train import train_adapter

    job = make_job(tmp_path_factory.mktemp("trained"))
    return job, train_adapter(job, no_progress)
