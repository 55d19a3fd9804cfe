"""Several adapters in one batch: each is what it would be alone, and each one's failure is its own.

The batch is made for a GPU. What it computes does not depend on the device, so a CPU can hold it to one adapter after
the other.
"""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from marked_answers import bad_answers
from safetensors.torch import load_file

from nabi.errors import DataError, ModelError, NabiError, TransientError
from nabi.training import base_model, grouped, learner
from nabi.training.adapter import WEIGHTS
from nabi.training.base_model import load_base, resolve_base
from nabi.training.checkpoint import Checkpoints, Every
from nabi.training.grouped import fit_together
from nabi.training.many import train_adapters
from nabi.training.progress import no_progress
from nabi.training.recipe import Recipe
from nabi.training.tokenise import tokenise_samples
from nabi.training.train import read_samples, train_adapter
from nabi.training.trainer import Task, fit
from nabi.training.worker import train_together, training_environment

UNLIKE: list[dict[str, Any]] = [
    {"num_samples": 7, "seed": 3, "recipe": {"learning_rate": 5e-3, "dropout": 0.1}},
    {
        "num_samples": 13,
        "seed": 4,
        "system_prompt": "너는 급식카드 밥집 도우미야. 참고 정보에 있는 것만 다정하게 알려 줘.",
        "recipe": {"learning_rate": 1e-3, "dropout": 0.3, "rslora": True, "gradient_accumulation": 2, "epochs": 3},
    },
    {
        "num_samples": 4,
        "seed": 5,
        "uses_facts": False,
        "recipe": {"learning_rate": 2e-2, "dropout": 0.0, "epochs": 5, "alpha": 16, "early_stopping": 2},
    },
]
"""Three personas of other sizes, rates, prompts, seeds, dropouts, scales, epochs and parts of a step."""

CHILD = """
import os, signal, sys
from pathlib import Path
from nabi.training.many import train_adapters
from nabi.training.train import TrainingJob
def on_progress(place, share, message):
    if place == 1 and message.startswith("step 2/"):
        os.kill(os.getpid(), signal.SIGKILL)
jobs = [TrainingJob.model_validate_json(Path(name).read_bytes()) for name in sys.argv[1:]]
train_adapters(jobs, on_progress, lambda place, outcome: None, at_once=len(jobs))
"""


def make_jobs(make_job: Callable[..., Any], folder: Path, changes: Sequence[dict[str, Any]]) -> list[Any]:
    return [make_job(folder / str(number), **change) for number, change in enumerate(changes)]


def in_one_batch(jobs: Sequence[Any], at_once: int | None = None) -> list[Any]:
    ends: dict[int, Any] = {}
    train_adapters(jobs, lambda *_: None, ends.__setitem__, at_once=at_once or len(jobs))
    return [ends[place] for place in range(len(jobs))]


def assert_alike(one: Any, other: Any, within: float = 1e-4) -> None:
    """The same training but for the rounding of sums: all losses, and the weights."""
    assert [step for step, _ in one.losses] == [step for step, _ in other.losses]
    assert [loss for _, loss in one.losses] == pytest.approx([loss for _, loss in other.losses], abs=within)
    assert one.holdout_loss_before == pytest.approx(other.holdout_loss_before, abs=within)
    assert one.holdout_loss == pytest.approx(other.holdout_loss, abs=within)
    assert [loss for _, loss in one.preference_losses] == pytest.approx(
        [loss for _, loss in other.preference_losses], abs=within
    )
    ours, theirs = (load_file(result.adapter_dir / WEIGHTS) for result in (one, other))
    assert ours.keys() == theirs.keys()
    apart = math.sqrt(sum(float((ours[name] - theirs[name]).pow(2).sum()) for name in ours))
    norm = math.sqrt(sum(float(weight.pow(2).sum()) for weight in theirs.values()))
    assert apart < 0.01 * norm


@pytest.fixture(scope="module")
def alone(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The unlike personas, each trained by itself."""
    return [train_adapter(job, no_progress) for job in make_jobs(make_job, tmp_path_factory.mktemp("alone"), UNLIKE)]


def test_unlike_adapters_in_one_batch_are_what_they_are_alone(
    make_job: Callable[..., Any], alone: list[Any], tmp_path: Path
) -> None:
    together = in_one_batch(make_jobs(make_job, tmp_path, UNLIKE))
    for one, other in zip(together, alone, strict=True):
        assert (one.together, other.together) == (3, 1)
        assert one.num_steps == other.num_steps
        assert_alike(one, other)
    assert [result.num_steps for result in together] == [4, 6, 5], "they left the batch one after another"
    hidden = [path.name for path in tmp_path.rglob(".*")]
    assert hidden == [], "no checkpoint and no half adapter is left"


def test_they_learn_their_own_and_not_each_others(make_job: Callable[..., Any], alone: list[Any]) -> None:
    """What the comparison above would miss if the adapters were alike anyway."""
    assert len({result.digest for result in alone}) == 3
    assert len({round(result.losses[-1][1], 2) for result in alone}) == 3


def test_a_batch_killed_with_signal_9_goes_on_from_every_adapters_checkpoint(
    make_job: Callable[..., Any], alone: list[Any], tmp_path: Path
) -> None:
    jobs = [job.model_copy(update={"save_every": Every(steps=1)}) for job in make_jobs(make_job, tmp_path, UNLIKE)]
    files = [tmp_path / f"{number}.json" for number in range(3)]
    for file, job in zip(files, jobs, strict=True):
        file.write_text(job.model_dump_json())
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, files)], env=os.environ | training_environment(1), check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert [job.out_dir.exists() for job in jobs] == [True, False, False]
    together = in_one_batch(jobs)
    assert [result.resumed_at for result in together] == [0, 2, 3]
    for one, other in zip(together, alone, strict=True):
        assert_alike(one, other)


def test_a_loss_that_is_no_number_ends_its_own_adapter_alone(
    make_job: Callable[..., Any], alone: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate of NaN in the first step stands for any training that goes astray."""
    rate = learner.learning_rate

    def astray(recipe: Recipe, step: int, num_steps: int) -> float:
        return (
            math.nan if recipe.learning_rate == UNLIKE[1]["recipe"]["learning_rate"] else rate(recipe, step, num_steps)
        )

    monkeypatch.setattr(learner, "learning_rate", astray)
    first, second, third = in_one_batch(make_jobs(make_job, tmp_path, UNLIKE))
    assert isinstance(second, ModelError)
    assert "the loss became nan at step 2 of" in second.what
    assert_alike(first, alone[0])
    assert_alike(third, alone[2])
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_bad_data_and_weights_that_do_not_fit_end_their_own_adapters_alone(
    make_job: Callable[..., Any], trained_adapter: tuple[Any, Any], alone: list[Any], tmp_path: Path
) -> None:
    changes: list[dict[str, Any]] = [
        {"num_samples": 0},
        {"recipe": {"max_length": 16}},
        UNLIKE[0],
        {"recipe": {"r": 2}, "start_adapter": trained_adapter[1].adapter_dir},
        {"recipe": {"r": 2}},
        {"recipe": {"target_modules": ("c_attn",)}},
        {"recipe": {"target_modules": ("c_attn",)}},
        UNLIKE[2],
    ]
    told = in_one_batch(make_jobs(make_job, tmp_path, changes))
    assert [type(outcome) for outcome in told if isinstance(outcome, NabiError)] == [
        DataError,
        DataError,
        ModelError,
        ModelError,
        ModelError,
    ]
    assert_alike(told[2], alone[0])
    assert_alike(told[7], alone[2])


def test_answers_marked_bad_are_learned_from_in_a_batch_too(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """One has some, one has none, and one goes on from an adapter."""
    start = train_adapter(make_job(tmp_path / "start"), no_progress).adapter_dir
    changes: list[dict[str, Any]] = [
        {"num_samples": 6, "recipe": {"dropout": 0.2}},
        {"num_samples": 9, "recipe": {"dropout": 0.2}},
        {"num_samples": 5, "start_adapter": start, "recipe": {"continued_rate": 0.5}},
    ]
    for number in (0, 2):
        (tmp_path / f"bad-{number}.jsonl").write_text(
            "".join(answer.model_dump_json() + "\n" for answer in bad_answers(3 + number))
        )
        changes[number]["preferences_file"] = tmp_path / f"bad-{number}.jsonl"
    together = in_one_batch(make_jobs(make_job, tmp_path / "together", changes))
    for one, job in zip(together, make_jobs(make_job, tmp_path / "alone", changes), strict=True):
        assert_alike(one, train_adapter(job, no_progress))
    assert [result.num_bad for result in together] == [3, 0, 5]
    assert together[0].bad_made_rarer == 1.0


@pytest.mark.parametrize(
    "recipe", [{"recompute": True}, {"four_bit": True}, {"target_modules": ("q_proj", "down_proj")}]
)
def test_other_recipes_are_what_they_are_alone(
    make_job: Callable[..., Any], tmp_path: Path, recipe: dict[str, Any]
) -> None:
    changes = [
        {"num_samples": number, "seed": number, "recipe": {"dropout": 0.2, "epochs": 1, **recipe}} for number in (5, 9)
    ]
    together = in_one_batch(make_jobs(make_job, tmp_path / "together", changes))
    for one, job in zip(together, make_jobs(make_job, tmp_path / "alone", changes), strict=True):
        assert one.together == 2
        assert_alike(one, train_adapter(job, no_progress))


def test_a_base_in_bfloat16_is_multiplied_as_on_a_gpu(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base's weights and all products in bfloat16, the adapters' in float32: only the rounding is coarser."""
    monkeypatch.setattr(base_model, "training_precision", lambda *_: "bfloat16")
    job = make_job(tmp_path, num_samples=9)
    base = load_base(resolve_base("minute", job.models_dir), threads=1)
    base.model.to(torch.bfloat16)
    samples = read_samples(job.train_file)
    train = tokenise_samples(base.tokenizer, samples, system_prompt="짧게.", uses_facts=True, max_length=512).samples
    tasks = [
        Task(
            train=train[:num],
            holdout=train[6:],
            bad=(),
            recipe=job.recipe.model_copy(update={"dropout": dropout}),
            start=None,
            seed=num,
            rows=4,
            checkpoints=Checkpoints(tmp_path / f"checkpoints-{num}", Every()),
            on_progress=no_progress,
        )
        for num, dropout in ((5, 0.0), (9, 0.2))
    ]
    alone = [fit(base, task) for task in tasks]
    together: dict[int, Any] = {}
    fit_together(base, tasks, together.__setitem__)
    for number, one in enumerate(alone):
        assert [loss for _, loss in together[number].losses] == pytest.approx(
            [loss for _, loss in one.losses], rel=0.02
        )
        assert all(weight.dtype == torch.float32 for weight in together[number].tensors.values())


def test_adapters_of_another_rank_or_with_dora_are_computed_apart(make_job: Callable[..., Any], tmp_path: Path) -> None:
    recipes: list[dict[str, Any]] = [{"r": 4}, {"r": 2}, {"dora": True}, {"r": 4, "alpha": 4}, {"dora": True}, {"r": 2}]
    changes = [{"num_samples": 3, "recipe": {"epochs": 1, **recipe}} for recipe in recipes]
    told = in_one_batch(make_jobs(make_job, tmp_path, changes))
    assert [result.together for result in told] == [2, 2, 1, 2, 1, 2]


def test_on_a_cpu_nothing_is_computed_together_unless_asked(make_job: Callable[..., Any], tmp_path: Path) -> None:
    ends: dict[int, Any] = {}
    jobs = make_jobs(make_job, tmp_path, [{"num_samples": 3}, {"num_samples": 3}])
    train_adapters(jobs, lambda *_: None, ends.__setitem__)
    assert [ends[place].together for place in (0, 1)] == [1, 1]


def test_a_batch_that_does_not_fit_the_memory_is_halved_down_to_one_adapter(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that holds the rows of one adapter, or of two, stands for a GPU."""
    changes = [{"num_samples": 4, "seed": seed, "recipe": {"epochs": 2, "dropout": 0.1}} for seed in range(5)]
    alone = [train_adapter(job, no_progress) for job in make_jobs(make_job, tmp_path / "alone", changes)]
    compute = grouped._Group.compute
    for held, expected in ((2, [2, 2, 2, 2, 1]), (1, [1, 1, 1, 1, 1])):

        def limited(group: Any, parts: Sequence[Any], held: int = held) -> list[float]:
            if len(parts) > held:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
            return compute(group, parts)

        monkeypatch.setattr(grouped._Group, "compute", limited)
        with caplog.at_level(logging.WARNING):
            results = in_one_batch(make_jobs(make_job, tmp_path / str(held), changes))
        assert [result.together for result in results] == expected
        told = r"5 adapters with 4 samples each at once do not fit the memory \(1\.00 GiB .*\); going on with 2 at once"
        assert re.search(told, caplog.text)
        for one, other in zip(results, alone, strict=True):
            assert_alike(one, other)


def test_a_child_that_dies_with_several_at_hand_puts_it_on_nobody(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """The first death is nobody's; one after another, the second job dies again, and the death is its own."""
    import psutil

    from nabi.training import worker

    jobs = make_jobs(make_job, tmp_path, [{"num_samples": 4, "seed": seed} for seed in range(2)])
    children: list[int] = []

    def kill_at_the_seconds_first_step(job: int, _share: float, message: str) -> None:
        (child,) = (child for child in psutil.Process().children() if worker.__name__ in child.cmdline())
        children.append(child.pid)
        if job == 1 and message.startswith("step 1/"):
            child.terminate()

    first, second = train_together(jobs, kill_at_the_seconds_first_step, at_once=2)
    assert isinstance(second, TransientError)
    assert first.together == 1
    assert len(set(children)) == 2
