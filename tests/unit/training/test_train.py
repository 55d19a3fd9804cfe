from __future__ import annotations

import errno
import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from nabi.datasets.files import read_samples
from nabi.datasets.samples import chat_messages
from nabi.errors import DataError, ModelError, OutOfMemory
from nabi.serving.engine import Engine
from nabi.training import base_model, loss, train, trainer
from nabi.training.adapter import read_manifest
from nabi.training.base_model import load_base, resolve_base
from nabi.training.learner import Learner
from nabi.training.loss import mean_loss
from nabi.training.many import train_adapters
from nabi.training.memory import memory_needed, read_shape
from nabi.training.plan import Machine
from nabi.training.progress import no_progress
from nabi.training.tokenise import tokenise_samples
from nabi.training.train import make_ready, train_adapter


def test_training_learns_and_leaves_the_folder_of_an_adapter(trained_adapter: tuple[Any, Any]) -> None:
    _, result = trained_adapter
    names = {path.name for path in result.adapter_dir.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "metadata.json", "manifest.json"} <= names
    assert {"tokenizer.json", "tokenizer_config.json"} <= names
    assert "README.md" not in names
    assert result.losses[-1][1] < result.losses[0][1]
    assert result.holdout_loss < result.holdout_loss_before
    assert result.num_steps == 4
    assert result.num_samples == 8
    assert [step for step, _ in result.losses] == [1, 2, 3, 4]


def test_the_same_job_gives_the_same_bytes_and_losses(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path: Path
) -> None:
    """Metadata holds times; everything else is equal, whatever folder the job ran in."""
    _, first = trained_adapter
    second = train_adapter(make_job(tmp_path), no_progress)
    assert second.digest == first.digest
    assert second.losses == first.losses
    assert second.holdout_loss == first.holdout_loss
    for path in first.adapter_dir.iterdir():
        if path.name != "metadata.json":
            assert (second.adapter_dir / path.name).read_bytes() == path.read_bytes(), path.name


def test_another_seed_gives_another_adapter(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path: Path
) -> None:
    assert train_adapter(make_job(tmp_path, seed=12), no_progress).digest != trained_adapter[1].digest


def test_progress_rises_to_one_and_tells_the_step_and_the_loss(make_job: Callable[..., Any], tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    train_adapter(make_job(tmp_path, num_samples=4), lambda share, message: told.append((share, message)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert any(message.startswith("step 1/2, loss ") for _, message in told)


def test_a_finished_job_is_answered_from_its_folder(make_job: Callable[..., Any], tmp_path: Path) -> None:
    job = make_job(tmp_path, num_samples=4)
    first = train_adapter(job, no_progress)
    told: list[str] = []
    again = train_adapter(job, lambda _, message: told.append(message))
    assert told == []
    assert again.model_copy(update={"seconds": first.seconds}) == first


def test_a_finished_job_is_answered_whatever_the_machine_is_by_now(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that is full now would take it in 4 bits, or not at all; the adapter stands all the same."""
    job = make_job(tmp_path, num_samples=4)
    first = train_adapter(job, no_progress)
    left = tmp_path / ".adapter.checkpoints-0123456789abcdef"
    left.mkdir()
    (left / "step-00000001.json").write_text("{}")

    def too_small(*_: Any, **__: Any) -> Any:
        raise OutOfMemory("a card is too small")

    monkeypatch.setattr(train, "plan_training", too_small)
    assert train_adapter(job, no_progress).digest == first.digest
    ends: dict[int, Any] = {}
    train_adapters([job], lambda *_: None, ends.__setitem__)
    assert ends[0].digest == first.digest
    assert not left.exists(), "what a kill left beside it is cleared"


def test_a_folder_of_another_training_is_never_overwritten(make_job: Callable[..., Any], tmp_path: Path) -> None:
    train_adapter(make_job(tmp_path, num_samples=4), no_progress)
    with pytest.raises(ModelError, match="arguments") as caught:
        train_adapter(make_job(tmp_path, num_samples=4, seed=99), no_progress)
    assert "immutable" in str(caught.value)


def test_a_loss_that_is_no_number_fails_and_leaves_nothing(
    make_job: Callable[..., Any], tiny_base_dir: Path, tmp_path: Path
) -> None:
    """A base with a NaN among its weights stands for any training that goes astray."""
    broken = tmp_path / "models" / "broken"
    shutil.copytree(tiny_base_dir, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    job = make_job(tmp_path, base_model="broken", models_dir=broken.parent)
    with pytest.raises(ModelError, match="the loss became nan at step 1 of 4"):
        train_adapter(job, no_progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "models", "train.jsonl"]


def test_an_interrupted_training_leaves_nothing(make_job: Callable[..., Any], tmp_path: Path) -> None:
    def interrupt(share: float, message: str) -> None:
        if message.startswith("step 1/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(make_job(tmp_path), interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_remains_of_a_killed_run_are_cleared(make_job: Callable[..., Any], tmp_path: Path) -> None:
    remains = tmp_path / ".adapter.partial-999999999"
    remains.mkdir()
    (remains / "half").write_text("x")
    train_adapter(make_job(tmp_path, num_samples=4), no_progress)
    assert not remains.exists()


def test_samples_beyond_the_context_are_left_out_and_counted(make_job: Callable[..., Any], tmp_path: Path) -> None:
    job = make_job(tmp_path, num_samples=4)
    lines = job.train_file.read_text().splitlines()
    long = json.loads(lines[0])
    long["messages"][0]["content"] = "가나다라마바사" * 100
    job.train_file.write_text("\n".join([json.dumps(long), *lines[1:]]) + "\n")
    result = train_adapter(job, no_progress)
    assert (result.num_samples, result.num_left_out) == (3, 1)
    metadata = json.loads((job.out_dir / "metadata.json").read_text())
    assert metadata["result"]["num_left_out"] == 1


def test_without_a_holdout_there_is_no_holdout_loss(make_job: Callable[..., Any], tmp_path: Path) -> None:
    job = make_job(tmp_path, num_samples=4)
    job.holdout_file.write_text("")
    assert train_adapter(job, no_progress).holdout_loss is None


def test_an_empty_dataset_is_refused(make_job: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples to train on"):
        train_adapter(make_job(tmp_path, num_samples=0), no_progress)


def test_a_broken_line_is_named_with_its_file_and_number(make_job: Callable[..., Any], tmp_path: Path) -> None:
    job = make_job(tmp_path)
    with job.train_file.open("a") as stream:
        stream.write('{"sample_id": "x"}\n')
    with pytest.raises(DataError) as caught:
        train_adapter(job, no_progress)
    assert f"{job.train_file}, line 9" in str(caught.value)


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        (("c_attn",), "minute: there are no modules c_attn"),
        (("q_proj", "v_prj"), "minute: there are no modules v_prj"),
        (("self_attn",), "no adapter can be put on the modules"),
    ],
)
def test_modules_that_the_base_lacks_are_named(
    make_job: Callable[..., Any], tmp_path: Path, modules: tuple[str, ...], told: str
) -> None:
    """One of two is enough: PEFT would train the other and say nothing."""
    with pytest.raises(ModelError, match=told):
        train_adapter(make_job(tmp_path, recipe={"target_modules": modules}), no_progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_an_infinite_gradient_of_a_finite_loss_is_no_adapter(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last step no loss would ever show it."""
    gradients = Learner.gradients

    def overflowing(learner: Learner, loss: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = gradients(learner, loss)
        return tuple(gradient * (math.inf if learner.step == 3 else 1) for gradient in made)

    monkeypatch.setattr(Learner, "gradients", overflowing)
    with pytest.raises(ModelError, match=r"the gradients' norm became (nan|inf) at step 4 of 4.*learning rate"):
        train_adapter(make_job(tmp_path), no_progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_accumulated_batches_weigh_each_token_alike(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """Two batches of two in one step see the loss of one batch of four (dropout off)."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir()
    halves.mkdir()
    common = {"epochs": 1, "dropout": 0.0}
    one = train_adapter(make_job(whole, num_samples=4, recipe={**common, "batch_size": 4}), no_progress)
    two = train_adapter(
        make_job(halves, num_samples=4, recipe={**common, "batch_size": 2, "gradient_accumulation": 2}), no_progress
    )
    assert two.losses[0][1] == pytest.approx(one.losses[0][1], rel=1e-5)


def test_computing_activations_twice_changes_no_bit(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout included: the second time the same values are dropped. Whole rows in both cases: a prefix is shared only
    where activations are kept, which rounds elsewhere."""
    monkeypatch.setattr(loss, "_LEAST_SHARED", 10_000)
    digests = []
    for name, recompute in (("kept", False), ("twice", True)):
        (tmp_path / name).mkdir()
        recipe = {"dropout": 0.2, "epochs": 1, "recompute": recompute}
        digests.append(train_adapter(make_job(tmp_path / name, recipe=recipe), no_progress).digest)
    assert digests[0] == digests[1]


def test_a_gpu_is_asked_for_the_same_bits_again(make_job: Callable[..., Any], tmp_path: Path) -> None:
    base = load_base(resolve_base("minute", make_job(tmp_path).models_dir), threads=1)
    try:
        trainer.prepare(base, recompute=False, longest=64)
        assert not torch.are_deterministic_algorithms_enabled()
        trainer.prepare(replace(base, device="cuda"), recompute=False, longest=64)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_early_stopping_keeps_the_best_weights_of_the_holdout(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """A rate far too high makes the holdout loss rise again soon."""
    recipe = {"epochs": 30, "learning_rate": 0.3, "schedule": "constant_with_warmup", "early_stopping": 2}
    result = train_adapter(make_job(tmp_path, recipe=recipe), no_progress)
    assert result.num_steps < 60
    base = load_base(resolve_base("minute", make_job(tmp_path).models_dir), threads=1)
    held = tokenise_samples(
        base.tokenizer,
        read_samples(tmp_path / "holdout.jsonl"),
        system_prompt="짧게 답해요.",
        uses_facts=True,
        max_length=512,
    )
    model = PeftModel.from_pretrained(base.model, result.adapter_dir)
    measured = mean_loss(model, held.samples, pad_id=base.tokenizer.pad_token_id, batch_size=4, device="cpu")
    assert result.holdout_loss == pytest.approx(measured, rel=1e-4)


@pytest.mark.parametrize("kind", ["rslora", "dora"])
def test_other_kinds_of_lora_are_served_as_they_were_trained(
    make_job: Callable[..., Any], trained_adapter: tuple[Any, Any], tmp_path: Path, kind: str
) -> None:
    job = make_job(tmp_path, recipe={kind: True})
    result = train_adapter(job, no_progress)
    assert result.holdout_loss < result.holdout_loss_before
    assert result.digest != trained_adapter[1].digest
    engine = Engine(load_base(resolve_base("minute", job.models_dir), threads=1))
    engine.load("it", result.adapter_dir)
    held = read_samples(job.holdout_file)
    prompts = [chat_messages(job.system_prompt, sample.messages[:-1], sample.facts) for sample in held]
    told = engine.answer_logprobs(prompts, [sample.answer for sample in held], "it")
    served = -sum(part.logprob for part in told) / sum(part.num_tokens for part in told)
    assert served == pytest.approx(result.holdout_loss, rel=1e-4)


def test_a_four_bit_base_is_trained_over_on_a_cpu(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """QLoRA: NF4 with double quantisation, by bitsandbytes; and it resumes with the same bits."""
    result = train_adapter(make_job(tmp_path, recipe={"four_bit": True}), no_progress)
    assert result.holdout_loss < result.holdout_loss_before
    again = tmp_path / "again"
    again.mkdir()
    assert train_adapter(make_job(again, recipe={"four_bit": True}), no_progress).digest == result.digest
    assert read_manifest(result.adapter_dir).libraries["bitsandbytes"] == version("bitsandbytes")


def test_bitsandbytes_is_recorded_only_where_it_shapes_the_adapter(trained_adapter: tuple[Any, Any]) -> None:
    assert "bitsandbytes" not in read_manifest(trained_adapter[1].adapter_dir).libraries


def test_scores_made_in_chunks_give_the_same_losses_and_gradients(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path)
    base = load_base(resolve_base("minute", job.models_dir), threads=1)
    samples = read_samples(job.train_file)
    told = tokenise_samples(base.tokenizer, samples, system_prompt="짧게.", uses_facts=True, max_length=512).samples
    batch = loss.collate([{"input_ids": s.input_ids, "labels": s.labels} for s in told], base.tokenizer.pad_token_id)
    model = get_peft_model(base.model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    found = []
    for limit in (loss.MAX_LOGITS, 3000):
        monkeypatch.setattr(loss, "MAX_LOGITS", limit)
        model.zero_grad()
        losses = loss.token_losses(model, batch)
        losses.sum().backward()
        found.append((losses.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (whole, whole_gradients), (chunked, chunked_gradients) = found
    assert torch.allclose(whole, chunked, atol=1e-5)
    assert len(whole_gradients) == len(chunked_gradients) > 0
    for one, other in zip(whole_gradients, chunked_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("library", "recipe"), [("peft", {}), ("bitsandbytes", {"four_bit": True})])
def test_a_missing_library_is_named_with_its_remedy(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, recipe: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModelError, match=f"{library} is not installed.*pip install {library}"):
        train_adapter(make_job(tmp_path, recipe=recipe), no_progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_a_gpu_that_holds_the_base_in_4_bits_alone_asks_for_bitsandbytes(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe does not, so `recipe.four_bit: false` would be no remedy."""
    job = make_job(tmp_path)
    shape = read_shape(resolve_base("minute", job.models_dir))
    assert shape is not None
    whole = memory_needed(shape, job.recipe, device="cuda").total
    small = Machine("cuda", "a card", whole - 1, "bfloat16")
    assert make_ready(job, small).plan.four_bit
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"only in 4 bits does the base fit .* close what else uses the GPU"):
        make_ready(job, small)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has"), r"1\.50 GiB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes."), "4096 bytes"),
        (RuntimeError("CUDA error: out of memory"), None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), None),
        (MemoryError(), None),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), None),
    ],
    ids=["cuda", "cpu", "driver", "cublas", "python", "mmap"],
)
def test_a_lack_of_memory_is_told_with_its_figures_and_leaves_no_half_adapter(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, wanted: str | None
) -> None:
    def no_room(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(trainer, "fit", no_room)
    more = rf"{wanted} more were asked for; " if wanted else ""
    told = rf"4 samples at once do not fit the memory \({more}begun as float32 on the CPU.*: needs \d\.\d GiB .* free\)"
    with pytest.raises(OutOfMemory, match=told) as caught:
        train_adapter(make_job(tmp_path), no_progress)
    assert "low-memory" in str(caught.value.fix)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_another_error_is_not_taken_for_a_lack_of_memory(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(*_: Any) -> Any:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(trainer, "fit", odd)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        train_adapter(make_job(tmp_path), no_progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_a_base_that_is_damaged_leaves_no_half_adapter(
    make_job: Callable[..., Any], tiny_base_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "models" / "broken"
    shutil.copytree(tiny_base_dir, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    job = make_job(tmp_path / "job", base_model="broken", models_dir=broken.parent)
    with pytest.raises(ModelError, match=r"cannot be loaded .* Fetch or build it again"):
        train_adapter(job, no_progress)
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_a_dataset_of_samples_beyond_the_context_is_refused_with_the_figure(
    make_job: Callable[..., Any], tmp_path: Path
) -> None:
    job = make_job(tmp_path, num_samples=3, recipe={"max_length": 16})
    with pytest.raises(DataError, match=r"3 given, 3 longer than 16 tokens"):
        train_adapter(job, no_progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdout.jsonl", "train.jsonl"]


def test_a_base_in_memory_is_taken_by_the_next_training_over_it(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long samples and recomputation before it leave nothing behind that would change a bit."""
    loads = []
    monkeypatch.setattr(base_model, "load_base", lambda ref, **how: loads.append(ref.name) or load_base(ref, **how))
    jobs = []
    for name, recipe in (("odd", {"recompute": True, "dropout": 0.3, "r": 2, "epochs": 1}), ("usual", {})):
        (tmp_path / name).mkdir()
        jobs.append(make_job(tmp_path / name, recipe=recipe))
    ends: dict[int, Any] = {}
    train_adapters(jobs, lambda _place, _share, _message: None, ends.__setitem__)
    assert loads == ["minute"]
    assert ends[1].digest == trained_adapter[1].digest
