"""Going on from an adapter that is live."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nabi.errors import ModelError
from nabi.training.adapter import read_manifest
from nabi.training.progress import no_progress
from nabi.training.train import train_adapter


def test_going_on_begins_where_the_adapter_stands(
    make_job: Callable[..., Any], trained_adapter: tuple[Any, Any], tmp_path: Path
) -> None:
    _, first = trained_adapter
    result = train_adapter(make_job(tmp_path, start_adapter=first.adapter_dir), no_progress)
    assert result.holdout_loss_before == pytest.approx(first.holdout_loss, rel=1e-4)
    assert read_manifest(result.adapter_dir).arguments["start_sha256"] == first.digest
    assert result.digest != first.digest


def test_going_on_may_learn_at_a_share_of_the_rate(
    make_job: Callable[..., Any], trained_adapter: tuple[Any, Any], tmp_path: Path
) -> None:
    """As if the rate itself were so much lower; a fresh start is not touched by it."""
    digests = []
    for name, changed in (
        ("share", {"learning_rate": 4e-3, "continued_rate": 0.25}),
        ("lower", {"learning_rate": 1e-3}),
        ("whole", {"learning_rate": 4e-3}),
    ):
        (tmp_path / name).mkdir()
        job = make_job(tmp_path / name, recipe=changed, start_adapter=trained_adapter[1].adapter_dir)
        digests.append(train_adapter(job, no_progress).digest)
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "fresh").mkdir()
    fresh = make_job(tmp_path / "fresh", recipe={"continued_rate": 0.25})
    assert train_adapter(fresh, no_progress).digest == trained_adapter[1].digest


def test_samples_that_rest_take_no_part(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """As if they did not stand in the file; and the record tells the two trainings apart."""
    few, some = make_job(tmp_path / "few", num_samples=6), make_job(tmp_path / "some", num_samples=8)
    resting = some.model_copy(update={"resting": ("train.jsonl-6", "train.jsonl-7")})
    first, second = train_adapter(few, no_progress), train_adapter(resting, no_progress)
    assert (second.num_samples, second.num_left_out, second.digest) == (6, 0, first.digest)
    arguments = read_manifest(second.adapter_dir).arguments
    assert arguments["resting_sha256"] != read_manifest(first.adapter_dir).arguments["resting_sha256"] is None
    with pytest.raises(ModelError, match="another training"):
        train_adapter(some, no_progress)


def test_a_fresh_start_is_recorded_as_one(trained_adapter: tuple[Any, Any]) -> None:
    assert read_manifest(trained_adapter[1].adapter_dir).arguments["start_sha256"] is None


def test_an_adapter_of_another_rank_cannot_be_gone_on_from(
    make_job: Callable[..., Any], trained_adapter: tuple[Any, Any], tmp_path: Path
) -> None:
    job = make_job(tmp_path, recipe={"r": 2}, start_adapter=trained_adapter[1].adapter_dir)
    with pytest.raises(ModelError, match=r"Set recipe\.start to base"):
        train_adapter(job, no_progress)
    assert not job.out_dir.exists()
