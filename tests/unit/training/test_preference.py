"""Answers marked bad: trl's losses, the same bits after a kill, and nothing else touched where there are none."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from marked_answers import bad_answers
from peft import PeftModel

from nabi.training import base_model
from nabi.training.adapter import read_manifest
from nabi.training.base_model import load_base, resolve_base
from nabi.training.checkpoint import Every
from nabi.training.preference import judge, log_probabilities, places_of_step, preference_losses
from nabi.training.progress import no_progress
from nabi.training.tokenise import tokenise_bad_answers
from nabi.training.train import train_adapter
from nabi.training.worker import training_environment

RECIPE = {"dropout": 0.2, "epochs": 3, "batch_size": 4}
NUM_STEPS = 9

CHILD = """
import os, signal, sys
from pathlib import Path
from nabi.training.train import TrainingJob, train_adapter
def on_progress(share, message):
    if message.startswith(f"step {sys.argv[2]}/"):
        os.kill(os.getpid(), signal.SIGKILL)
train_adapter(TrainingJob.model_validate_json(Path(sys.argv[1]).read_bytes()), on_progress)
"""


@pytest.fixture
def make_bad_job(make_job: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def make(name: str = "job", *, num_bad: int = 5, recipe: dict[str, Any] | None = None, **changes: Any) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        path = folder / "preferences.jsonl"
        path.write_text("".join(answer.model_dump_json() + "\n" for answer in bad_answers(num_bad)))
        wanted = {"num_samples": 10, "recipe": RECIPE | (recipe or {}), "preferences_file": path}
        return make_job(folder, **(wanted | changes))

    return make


def test_the_losses_are_those_of_dpo_and_apo_zero() -> None:
    ratios = torch.tensor([[2.0, -1.0], [-3.0, 4.0], [9.0, 0.5]])
    paired = torch.tensor([True, True, False])
    dpo = [math.log(1 + math.exp(-0.1 * margin)) for margin in (3.0, -7.0)]
    apo = 1 / (1 + math.exp(-0.1 * 0.5))
    assert preference_losses(ratios, paired, 0.1).tolist() == pytest.approx([*dpo, apo], rel=1e-6)


def test_the_gradient_raises_the_better_answer_and_lowers_the_bad_one_but_touches_no_missing_one() -> None:
    ratios = torch.zeros(2, 2, requires_grad=True)
    preference_losses(ratios, torch.tensor([True, False]), 0.1).sum().backward()
    assert ratios.grad is not None
    assert ratios.grad.tolist() == [pytest.approx([-0.05, 0.05]), pytest.approx([0.0, 0.025])]


def test_log_probabilities_are_those_of_the_last_answer_alone(tiny_base: Any) -> None:
    """Against a plain forward pass a row: whole logits, no padding, no shared prefix."""
    marked = tokenise_bad_answers(
        tiny_base.tokenizer, bad_answers(3), system_prompt="짧게 답해요.", uses_facts=True, max_length=512
    )
    model, pad_id = tiny_base.model, tiny_base.tokenizer.pad_token_id
    with torch.no_grad():
        found = log_probabilities(model, marked, pad_id=pad_id, device="cpu")
        for answer, (better, bad) in zip(marked, found.tolist(), strict=True):
            for sample, value in ((answer.better, better), (answer.bad, bad)):
                if sample is None:
                    assert value == 0
                    continue
                scores = model(torch.tensor([sample.input_ids])).logits[0].log_softmax(-1)
                places = [place for place, label in enumerate(sample.labels) if label != -100]
                plain = sum(float(scores[place - 1, sample.input_ids[place]]) for place in places)
                assert value == pytest.approx(plain, rel=1e-5)
                said = tiny_base.tokenizer.decode([sample.input_ids[place] for place in places])
                assert "참고 정보" not in said
                assert "안녕" not in said


def test_every_bad_answer_comes_once_an_epoch_spread_evenly_and_always_at_the_same_steps() -> None:
    for num in (0, 1, 3, 7, 20):
        for epoch in (0, 1):
            steps = [places_of_step(num, epoch * 7 + step, 7, seed=5) for step in range(7)]
            assert Counter(place for step in steps for place in step) == Counter(range(num))
            assert max(map(len, steps)) - min(map(len, steps)) <= 1
    assert places_of_step(20, 3, 7, seed=5) == places_of_step(20, 3, 7, seed=5)
    assert [places_of_step(20, step, 7, seed=5) for step in range(7)] != [
        places_of_step(20, step, 7, seed=6) for step in range(7)
    ]


def test_a_training_begins_undecided_and_ends_with_the_better_answers_winning(
    make_bad_job: Callable[..., Any],
) -> None:
    result = train_adapter(make_bad_job(num_bad=6, recipe={"epochs": 8}), no_progress)
    first_pair_or_not = {math.log(2), 0.5, (math.log(2) + 0.5) / 2}
    assert min(abs(result.preference_losses[0][1] - wanted) for wanted in first_pair_or_not) < 1e-5
    assert result.preference_losses[-1][1] < result.preference_losses[0][1]
    assert (result.num_bad, result.num_pairs) == (6, 3)
    assert result.preference_accuracy is not None
    assert result.preference_accuracy >= (result.preference_accuracy_before or 0)
    assert result.bad_made_rarer == 1.0


def test_bad_answers_change_what_is_learned_but_not_the_order_of_the_samples(
    make_job: Callable[..., Any], make_bad_job: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    plain = train_adapter(make_job(tmp_path / "plain", num_samples=10, recipe=RECIPE), no_progress)
    taught = train_adapter(make_bad_job(), no_progress)
    assert plain.digest != taught.digest
    # The first step's loss is computed before anything was learned: the same samples stand in it.
    assert taught.losses[0] == plain.losses[0]
    assert plain.preference_losses == []
    assert plain.preference_accuracy is None


def test_a_training_with_bad_answers_killed_with_signal_9_ends_with_the_same_bits(
    make_bad_job: Callable[..., Any], tmp_path: Path
) -> None:
    undisturbed = train_adapter(make_bad_job("whole"), no_progress)
    job = make_bad_job("killed", save_every=Every(steps=1))
    job_file = tmp_path / "job.json"
    job_file.write_text(job.model_dump_json())
    for step in (2, 7):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(job_file), str(step)],
            env=os.environ | training_environment(1),
            check=False,
        )
        assert child.returncode == -signal.SIGKILL
    result = train_adapter(job, no_progress)
    assert result.resumed_at == 7
    assert result.digest == undisturbed.digest
    assert result.preference_losses == undisturbed.preference_losses
    assert (result.preference_accuracy_before, result.bad_made_rarer) == (
        undisturbed.preference_accuracy_before,
        undisturbed.bad_made_rarer,
    )


def test_going_on_from_the_champion_it_is_the_champion_that_is_compared_with(
    make_bad_job: Callable[..., Any], trained_adapter: tuple[Any, Any]
) -> None:
    job, champion = trained_adapter
    marked = make_bad_job(num_bad=6, start_adapter=champion.adapter_dir, recipe={"epochs": 4})
    base = load_base(resolve_base("minute", job.models_dir), threads=1)
    pad_id = base.tokenizer.pad_token_id
    answers = tokenise_bad_answers(
        base.tokenizer, bad_answers(6), system_prompt=marked.system_prompt, uses_facts=True, max_length=512
    )
    with torch.no_grad():
        plain = log_probabilities(base.model, answers, pad_id=pad_id, device="cpu")
        model = PeftModel.from_pretrained(base.model, champion.adapter_dir).eval()
        then = log_probabilities(model, answers, pad_id=pad_id, device="cpu")
    assert float((plain - then).abs().max()) > 0.5, "the champion thinks otherwise than the base"
    result = train_adapter(marked, no_progress)
    first_pair_or_not = {math.log(2), 0.5, (math.log(2) + 0.5) / 2}
    assert min(abs(result.preference_losses[0][1] - wanted) for wanted in first_pair_or_not) < 1e-4
    assert result.preference_accuracy_before == judge(answers, then, then).pairs
    assert result.bad_made_rarer == 1.0
    assert read_manifest(result.adapter_dir).arguments["start_sha256"] == champion.digest


def test_in_bfloat16_too_a_training_begins_undecided(
    make_bad_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compared with the beginning is multiplied as the beginning was: the first loss is one of no opinion."""
    monkeypatch.setattr(base_model, "training_precision", lambda *_: "bfloat16")
    result = train_adapter(make_bad_job(num_bad=6, recipe={"batch_size": 2}), no_progress)
    first_pair_or_not = {math.log(2), 0.5, (math.log(2) + 0.5) / 2}
    assert min(abs(result.preference_losses[0][1] - wanted) for wanted in first_pair_or_not) < 1e-3


def test_a_pair_is_won_by_the_likelier_answer_per_token_and_none_is_counted_without_pairs(tiny_base: Any) -> None:
    marked = tokenise_bad_answers(
        tiny_base.tokenizer, bad_answers(2), system_prompt="짧게 답해요.", uses_facts=True, max_length=512
    )
    then = torch.tensor([[-50.0, -50.0], [0.0, -50.0]])
    won = judge(marked, then, torch.tensor([[-1.0, -60.0], [0.0, -40.0]]))
    assert (won.pairs, won.rarer) == (1.0, 0.5)
    assert judge(marked[1:], then[1:], then[1:]).pairs is None


def test_a_bad_answer_longer_than_the_context_is_left_out(tiny_base: Any) -> None:
    marked = tokenise_bad_answers(
        tiny_base.tokenizer, bad_answers(2), system_prompt="짧게 답해요.", uses_facts=True, max_length=16
    )
    assert marked == []
