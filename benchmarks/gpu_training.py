"""Memory and speed of a training over bases of billions of parameters, beside PEFT with bitsandbytes: for a GPU.

    .venv/bin/python benchmarks/gpu_training.py [--shapes qwen2.5-3b qwen3-4b]
        [--cases "4 bits, recomputed" "4 bits" bf16] [--rows 4] [--tokens 512] [--steps 8] [--r 16] [--together 8]
        [--folder DIR] [--json FILE]

Nothing is downloaded: each base has the published shape and random weights (6 and 8 GB in `--folder`, one at a time),
since neither memory nor speed depend on what weights say. Every way is a process of its own, trains LoRA on all linear
layers from the same first weights on the same `--rows` samples, `--steps` times, and is timed from the end of its first
step to the end of its last.

    nabi    nabi.training.many.train_adapters, as a run of the loop calls it, twice over one loaded base: the second
            adapter says whether this GPU gives the same bits again
    peft    PEFT's model over transformers' (bitsandbytes' NF4 with double quantisation, prepared as PEFT's guide says),
            a plain loop, all logits

Peak memory is what torch allocated at most, after the first step and with the loading of the base, which may take more;
beside it stands the estimate that decides (`nabi/training/memory.py`). With
`--together N`, N adapters are also trained as one batch and one after another, and their losses compared. On a machine
without a GPU it runs on the CPU, with the process's largest size as peak: `--shapes minute` tries that out in a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training_job import MODELS, training_job, write_samples

from nabi.conversations.records import Message
from nabi.datasets.samples import Sample, chat_messages
from nabi.errors import NabiError
from nabi.personas.model import RecipeChoice
from nabi.training.base_model import load_base, load_tokenizer, pick_device, resolve_base
from nabi.training.hardware import hardware
from nabi.training.many import train_adapters
from nabi.training.memory import GIB, memory_needed, read_shape
from nabi.training.tokenise import encode_answer
from nabi.training.train import TrainingJob, TrainingResult
from nabi.training.worker import training_environment

PROMPT, SEED = "짧게 답해요.", 7
_QWEN = {"num_hidden_layers": 36, "vocab_size": 151_936, "max_position_embeddings": 32_768, "tie_word_embeddings": True}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-3b": _QWEN
    | {"model_type": "qwen2", "hidden_size": 2048, "intermediate_size": 11_008}
    | {"num_attention_heads": 16, "num_key_value_heads": 2},
    "qwen3-4b": _QWEN
    | {"model_type": "qwen3", "hidden_size": 2560, "intermediate_size": 9728}
    | {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
    "minute": _QWEN
    | {"model_type": "qwen3", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 8192}
    | {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32},
}
"""As the models' `config.json` files tell them; `minute` tries the script out."""

CASES: dict[str, dict[str, Any]] = {
    "4 bits, recomputed": {"four_bit": True, "recompute": True},
    "4 bits": {"four_bit": True, "recompute": False},
    "bf16": {"four_bit": False, "recompute": False},
}


@dataclass(frozen=True)
class Order:
    """What one process measures: `folder` holds the base and what is trained over it."""

    way: str
    shape: str
    folder: str
    rows: int
    tokens: int
    steps: int
    r: int
    four_bit: bool = False
    recompute: bool = False
    adapters: int = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["qwen2.5-3b", "qwen3-4b"])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=512, help="of each sample, or a few less")
    parser.add_argument("--steps", type=int, default=8, help="at least 2: the first one warms up")
    parser.add_argument("--r", type=int, default=16)
    parser.add_argument("--together", type=int, help="also train so many adapters as one batch, and one by one")
    parser.add_argument("--folder", type=Path, help="where the bases are put; default: a temporary folder")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        order = Order(**json.loads(given.one))
        print(json.dumps(WAYS[order.way](order)))
        return
    figures: dict[str, Any] = {"hardware": hardware(pick_device())}
    print(", ".join(figures["hardware"].values()), flush=True)
    for shape in given.shapes:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            order = Order("make", shape, folder, given.rows, given.tokens, given.steps, given.r)
            in_a_process(order)
            figures[shape] = {
                case: measure(replace(order, **CASES[case]), case, given.together) for case in given.cases
            }
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


def measure(order: Order, case: str, together: int | None) -> dict[str, Any]:
    """nabi's way and PEFT's, and several adapters where they are asked for; a line for each."""
    told = {way: in_a_process(replace(order, way=way)) for way in ("nabi", "peft")}
    nabi, peft = told["nabi"], told["peft"]
    pairs = zip(nabi["losses"], peft["losses"], strict=True)
    nabi["apart from peft"] = max(abs(one - other) / other for one, other in pairs)
    print(f"\n{order.shape}, {case}, {order.rows} × {nabi['tokens']} tokens, r {order.r}: {nabi['held']}")
    print("| way | peak, GiB | with loading | estimate | s a step | tokens/s |\n|---|---|---|---|---|---|")
    for way, row in told.items():
        estimate = f"{row['estimate'] / GIB:.2f}" if "estimate" in row else ""
        rate = order.rows * row["tokens"] / row["step"]
        peaks = f"{row['peak'] / GIB:.2f} | {row['with loading'] / GIB:.2f}"
        print(f"| {way} | {peaks} | {estimate} | {row['step']:.3f} | {rate:.0f} |", flush=True)
    again = "the same bits" if nabi["same bits"] else "other bits"
    print(f"losses apart by {nabi['apart from peft']:.1e} of them; trained again it has {again}", flush=True)
    return told | compare_together(replace(order, adapters=together)) if together else told


def compare_together(order: Order) -> dict[str, Any]:
    """So many adapters as one batch and one after another: seconds, peak, and how far their losses are apart."""
    batch, single = (in_a_process(replace(order, way=way)) for way in ("many", "one by one"))
    curves = zip(batch["losses"], single["losses"], strict=True)
    apart = max(abs(one - other) / other for pair in curves for one, other in zip(*pair, strict=True))
    print(
        f"{order.adapters} adapters as one batch ({min(batch['together'])} at once): {batch['seconds']:.1f} s,"
        f" {batch['peak'] / GIB:.2f} GiB; one by one {single['seconds']:.1f} s, {single['peak'] / GIB:.2f} GiB;"
        f" losses apart by {apart:.1e} of them",
        flush=True,
    )
    return {"one batch": batch, "one by one": single, "together apart": apart}


def in_a_process(order: Order) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--one", json.dumps(asdict(order))],
        env=os.environ | training_environment(None),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{order} failed:\n{done.stderr[-4000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def make_base(order: Order) -> dict[str, Any]:
    """A base of random weights with the shipped tokenizer, whose words are the first of the larger vocabulary."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    told = dict(SHAPES[order.shape])
    folder = Path(order.folder) / "base"
    torch.manual_seed(SEED)
    with torch.device(pick_device()):
        config = AutoConfig.for_model(told.pop("model_type"), **told, eos_token_id=2, pad_token_id=0, bos_token_id=None)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(MODELS / "tiny-ko" / name, folder / name)
    return {"weights": model.num_parameters()}


def samples_of(order: Order, seed: int) -> list[Sample]:
    """Dialogues of as many tokens as asked for, or a few less, two thirds of them question."""
    tokenizer = load_tokenizer(resolve_base("base", Path(order.folder)))

    def made(number: int, length: int) -> Sample:
        words = [f"{seed * 31 + number * 7 + place}번" for place in range(length)]
        turns = (" ".join(words[: length * 2 // 3]), " ".join(words[length * 2 // 3 :]))
        return Sample(
            sample_id=f"s{seed}-{number}",
            conversation_id=f"c{seed}-{number}",
            persona_id="benchmark",
            source="chat",
            occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
            messages=(Message(role="user", content=turns[0]), Message(role="assistant", content=turns[1])),
        )

    def tokens(sample: Sample) -> int:
        return len(encode_answer(tokenizer, chat_messages(PROMPT, sample.messages, None), last_only=False)[0])

    def fitting(number: int) -> Sample:
        lengths = range(3, order.tokens)
        too_long = bisect_right(lengths, order.tokens, key=lambda length: tokens(made(number, length)))
        return made(number, lengths[too_long - 1])

    return [fitting(number) for number in range(order.rows)]


def job_of(order: Order, number: int, *, seed: int) -> TrainingJob:
    folder = Path(order.folder) / f"{order.way}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    write_samples(folder, train=samples_of(order, seed))
    recipe: dict[str, Any] = {
        "four_bit": order.four_bit,
        "recompute": order.recompute,
        "r": order.r,
        "alpha": 2 * order.r,
    }
    recipe |= {"epochs": order.steps, "batch_size": order.rows, "dropout": 0.0, "max_length": order.tokens}
    base, models = "base", Path(order.folder)
    return training_job(folder, "adapter", PROMPT, RecipeChoice(), seed=seed, base=base, models=models, recipe=recipe)


def train(jobs: Sequence[TrainingJob], at_once: int, steps: Steps) -> list[TrainingResult]:
    """The adapters of these jobs, one after another or so many as one batch."""
    ends: dict[int, TrainingResult | NabiError] = {}

    def on_progress(_place: int, _share: float, message: str) -> None:
        if message.startswith("step "):
            steps.ended()

    train_adapters(jobs, on_progress, ends.__setitem__, at_once=at_once)
    results: list[TrainingResult] = []
    for place in range(len(jobs)):
        outcome = ends[place]
        if isinstance(outcome, NabiError):
            raise outcome
        results.append(outcome)
    return results


class Steps:
    """When steps ended, and how much memory was taken until the first one and afterwards."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self._first = 0

    def ended(self) -> None:
        self.moments.append(time.perf_counter())
        if not self._first:
            self._first = _peak_bytes()
            _forget_peak()

    def peaks(self) -> dict[str, int]:
        later = _peak_bytes()
        return {"peak": later, "with loading": max(self._first, later)}


def _peak_bytes() -> int:
    """What torch had on the GPU at most; without one, this process's largest size."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def with_nabi(order: Order) -> dict[str, Any]:
    jobs = [job_of(order, number, seed=SEED) for number in range(2)]
    steps = Steps()
    first, again = train(jobs, 1, steps)
    manifest = json.loads((first.adapter_dir / "manifest.json").read_text(encoding="utf-8"))["arguments"]
    tokens = first.num_tokens // first.num_samples
    shape = read_shape(resolve_base("base", Path(order.folder)))
    assert shape is not None
    device = pick_device()
    need = memory_needed(shape, jobs[0].recipe, device=device, four_bit=manifest["four_bit"], tokens=tokens)
    return steps.peaks() | {
        "estimate": need.total,
        "step": (steps.moments[order.steps - 1] - steps.moments[0]) / (order.steps - 1),
        "losses": [loss for _, loss in first.losses],
        "tokens": tokens,
        "held": f"{'4 bits' if manifest['four_bit'] else manifest['precision']} on {device}",
        "same bits": first.digest == again.digest,
    }


def with_several(order: Order) -> dict[str, Any]:
    at_once = order.adapters if order.way == "many" else 1
    jobs = [job_of(order, number, seed=SEED + number) for number in range(order.adapters)]
    steps = Steps()
    results = train(jobs, at_once, steps)
    return steps.peaks() | {
        "seconds": steps.moments[-1] - steps.moments[0],
        "losses": [[loss for _, loss in result.losses] for result in results],
        "together": [result.together for result in results],
    }


def with_peft(order: Order) -> dict[str, Any]:
    """The same adapter as PEFT's guides train it; order, rate and first weights are nabi's, so that losses compare."""
    import torch
    from peft import get_peft_model, prepare_model_for_kbit_training
    from transformers import set_seed

    from nabi.datasets.files import read_samples
    from nabi.training.loss import collate
    from nabi.training.recipe import learning_rate, lora_config
    from nabi.training.tokenise import tokenise_samples
    from nabi.training.trainer import multiplying

    job = job_of(order, 0, seed=SEED)
    base = load_base(resolve_base("base", Path(order.folder)), four_bit=order.four_bit)
    told = tokenise_samples(
        base.tokenizer, read_samples(job.train_file), system_prompt=PROMPT, uses_facts=False, max_length=order.tokens
    ).samples
    batch = collate([sample.row for sample in told], base.tokenizer.pad_token_id)
    batch = {name: tensor.to(base.device) for name, tensor in batch.items()}
    model: Any = base.model
    if order.four_bit:
        model = prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=order.recompute,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    set_seed(SEED)
    model = get_peft_model(model, lora_config(job.recipe))
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=job.recipe.learning_rate, weight_decay=0)
    steps = Steps()
    losses: list[float] = []
    for step in range(order.steps):
        with multiplying(base):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(job.recipe, step, order.steps)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
        steps.ended()
    return steps.peaks() | {
        "step": (steps.moments[-1] - steps.moments[0]) / (order.steps - 1),
        "losses": losses,
        "tokens": sum(len(sample.input_ids) for sample in told) // len(told),
    }


WAYS: dict[str, Callable[[Order], dict[str, Any]]] = {
    "make": make_base,
    "nabi": with_nabi,
    "peft": with_peft,
    "many": with_several,
    "one by one": with_several,
}

if __name__ == "__main__":
    main()
