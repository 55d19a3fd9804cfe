"""Two threads compute halves of a batch: the same training as one thread's, and the same bits each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nabi.training.checkpoint import Every
from nabi.training.progress import no_progress
from nabi.training.side_by_side import side_by_side
from nabi.training.train import train_adapter

RECIPE = {"epochs": 2, "batch_size": 4}


class _StoppedError(Exception):
    pass


def test_parts_hold_every_row_once_and_are_alike_in_length() -> None:
    torch.set_num_threads(2)
    with side_by_side("cpu", rows=8) as crew:
        parts = crew.parts(["a", "bbbb", "cc", "ddddd", "eee"], len)
        assert parts == [["ddddd", "eee", "a"], ["bbbb", "cc"]]
        assert crew.parts(["alone"], len) == [["alone"]]
        assert crew.map(lambda part: torch.get_num_threads(), parts) == [1, 1]
    assert torch.get_num_threads() == 2


def test_a_gpu_and_a_single_row_are_not_divided() -> None:
    torch.set_num_threads(2)
    for device, rows in (("cuda", 8), ("cpu", 1)):
        with side_by_side(device, rows) as crew:
            assert crew.parts([1, 2, 3], int) == [[3, 2, 1]]


def test_two_threads_train_what_one_does(make_job: Callable[..., Any], tmp_path: Path) -> None:
    alone, both = (
        train_adapter(
            make_job(tmp_path / str(threads), num_samples=10, recipe=RECIPE | {"dropout": 0.0}, threads=threads),
            no_progress,
        )
        for threads in (1, 2)
    )
    assert [loss for _, loss in both.losses] == pytest.approx([loss for _, loss in alone.losses], abs=1e-4)
    assert both.holdout_loss == pytest.approx(alone.holdout_loss, abs=1e-4)


def test_a_stopped_training_of_two_threads_ends_with_the_same_bits(
    make_job: Callable[..., Any], tmp_path: Path
) -> None:
    """With dropout, whose masks must follow from the part and not from which thread comes first."""
    whole, stopped = (
        make_job(
            tmp_path / name, num_samples=10, recipe=RECIPE | {"dropout": 0.2}, threads=2, save_every=Every(steps=1)
        )
        for name in ("whole", "stopped")
    )

    def stop(_share: float, message: str) -> None:
        if message.startswith("step 4/"):
            raise _StoppedError

    undisturbed = train_adapter(whole, no_progress)
    with pytest.raises(_StoppedError):
        train_adapter(stopped, stop)
    again = train_adapter(stopped, no_progress)
    assert (again.resumed_at, again.digest) == (4, undisturbed.digest)
    assert again.losses == undisturbed.losses
