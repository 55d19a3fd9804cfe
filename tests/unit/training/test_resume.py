"""A training that is killed goes on where its newest whole checkpoint stands, and ends with the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nabi.errors import ModelError
from nabi.training.checkpoint import Checkpoint, Checkpoints, Every
from nabi.training.progress import no_progress
from nabi.training.train import train_adapter
from nabi.training.worker import training_environment

# Dropout, accumulation and several epochs: everything that a checkpoint could forget.
RECIPE = {"dropout": 0.2, "epochs": 3, "batch_size": 2, "gradient_accumulation": 2, "early_stopping": 3}
NUM_STEPS = 9
EVERY_STEP = Every(steps=1)

CHILD = """
import os, signal, sys
from pathlib import Path
from nabi.training.train import TrainingJob, train_adapter
def on_progress(share, message):
    if message.startswith(f"step {sys.argv[2]}/"):
        os.kill(os.getpid(), signal.SIGKILL)
train_adapter(TrainingJob.model_validate_json(Path(sys.argv[1]).read_bytes()), on_progress)
"""


class _Stopped(Exception):
    """Stands for whatever ends a process in the midst of a training."""


def _stop_at(step: int) -> Callable[[float, str], None]:
    def on_progress(_share: float, message: str) -> None:
        if message.startswith(f"step {step}/"):
            raise _Stopped

    return on_progress


@pytest.fixture(scope="module")
def undisturbed(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train_adapter(make_job(tmp_path_factory.mktemp("whole"), num_samples=10, recipe=RECIPE), no_progress)


@pytest.fixture
def job(make_job: Callable[..., Any], tmp_path: Path) -> Any:
    return make_job(tmp_path, num_samples=10, recipe=RECIPE, save_every=EVERY_STEP)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(".adapter.checkpoints-*/*.safetensors"))


def test_a_training_killed_with_signal_9_ends_with_the_same_bits(job: Any, undisturbed: Any, tmp_path: Path) -> None:
    """Two kills at seeded moments in processes of their own, then one that runs to its end."""
    job_file = tmp_path / "job.json"
    job_file.write_text(job.model_dump_json())
    first, second = sorted(random.Random(20260701).sample(range(1, NUM_STEPS), 2))
    for step in (first, second):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(job_file), str(step)],
            env=os.environ | training_environment(1),
            check=False,
        )
        assert child.returncode == -signal.SIGKILL
        assert not job.out_dir.exists()
    told: list[tuple[float, str]] = []
    result = train_adapter(job, lambda share, message: told.append((share, message)))
    assert result.resumed_at == second
    assert result.digest == undisturbed.digest
    assert result.losses == undisturbed.losses
    assert (result.holdout_loss_before, result.holdout_loss) == (
        undisturbed.holdout_loss_before,
        undisturbed.holdout_loss,
    )
    assert told[1] == (second / NUM_STEPS, f"goes on after step {second}/{NUM_STEPS}")
    assert _checkpoints(tmp_path) == []


@pytest.mark.parametrize("step", [3, 5, 6, 8], ids=["epoch's end", "within", "second epoch's end", "last but one"])
def test_it_goes_on_from_any_step(job: Any, undisturbed: Any, step: int) -> None:
    with pytest.raises(_Stopped):
        train_adapter(job, _stop_at(step))
    again = train_adapter(job, no_progress)
    assert (again.resumed_at, again.digest) == (step, undisturbed.digest)


def test_a_torn_checkpoint_is_passed_over(job: Any, undisturbed: Any, tmp_path: Path) -> None:
    with pytest.raises(_Stopped):
        train_adapter(job, _stop_at(5))
    newest = _checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    again = train_adapter(job, no_progress)
    assert (again.resumed_at, again.digest) == (4, undisturbed.digest)


def test_another_job_never_goes_on_from_these_checkpoints(job: Any, tmp_path: Path) -> None:
    with pytest.raises(_Stopped):
        train_adapter(job, _stop_at(5))
    other = train_adapter(job.model_copy(update={"seed": 12}), no_progress)
    assert other.resumed_at == 0
    assert _checkpoints(tmp_path) == []


def test_a_training_that_failed_by_itself_leaves_no_checkpoint(job: Any, tmp_path: Path) -> None:
    def fail(_share: float, message: str) -> None:
        if message.startswith("step 4/"):
            assert _checkpoints(tmp_path)
            raise ModelError("the loss became nan")

    with pytest.raises(ModelError):
        train_adapter(job, fail)
    assert _checkpoints(tmp_path) == []


def test_a_checkpoint_is_whole_only_with_its_mark_and_digests(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", EVERY_STEP)
    assert checkpoints.newest() is None
    for step in (1, 2, 3):
        checkpoints.save(Checkpoint(step, {"weight": torch.full((4,), float(step))}, {"losses": [[step, 0.1]]}))
    marks = sorted((tmp_path / "c").glob("*.json"))
    assert [mark.stem for mark in marks] == ["step-00000002", "step-00000003"]
    newest = checkpoints.newest()
    assert newest is not None
    assert (newest.step, newest.tensors["weight"].tolist()) == (3, [3.0] * 4)
    told = json.loads(marks[1].read_bytes())
    marks[1].write_text(json.dumps({**told, "facts": {"losses": []}}))
    assert checkpoints.newest().step == 2  # type: ignore[union-attr]  # its facts were changed
    marks[1].unlink()
    marks[0].write_bytes(marks[0].read_bytes()[:-5])
    assert checkpoints.newest() is None


def test_checkpoints_come_by_steps_or_by_time_but_never_cost_much_of_it(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, Every(seconds=3600, steps=3)).due(6)
    assert not Checkpoints(tmp_path, Every(seconds=3600, steps=3)).due(7)
    assert Checkpoints(tmp_path, Every(seconds=0)).due(1)
    slow = Checkpoints(tmp_path / "slow", Every(seconds=0))
    slow.save(Checkpoint(1, {"weight": torch.zeros(1_000_000)}, {}))
    assert not slow.due(2), "a save that took time is not repeated at once"
