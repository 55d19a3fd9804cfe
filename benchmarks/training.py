"""Samples a second of nabi's training beside the usual ways to train the same adapter on the same samples.

    .venv/bin/python benchmarks/training.py [--samples 160] [--rounds 3] [--threads 2] [--max-length 512] [--json FILE]

Every way trains a LoRA adapter (the shipped base's recipe, one epoch, no dropout) on the same catalogue dialogues in
the same order of the same batches, each in a process of its own, one after the other, `--rounds` times around. So the
losses of all steps must be alike: the largest difference from nabi's is printed beside each ratio. What is timed begins
with the end of the first step, which warms everything up, and ends with the last.

    padded    transformers' Trainer, every sample padded to `--max-length`: the usual recipe
    trainer   transformers' Trainer, batches padded to their longest row
    sft       trl's SFTTrainer, batches padded to their longest row (left out where trl is not installed; on a CPU its
              packing needs a kernel that is not there)
    plain     a torch loop over PEFT's model, batches padded to their longest row, all logits
    nabi      nabi.training.trainer.fit

`--many 16 --samples 20 50` instead trains that many adapters, each on so many samples, in nabi's training process and
one by one with PEFT and Trainer, a process each as scripts do it, and counts adapters a minute, starts included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nabi.catalogue.dialogues import make_dialogues
from nabi.datasets.files import write_lines
from nabi.datasets.samples import sample_from
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.recipe import Recipe, resolve_recipe
from nabi.training.tokenise import TokenisedSample, tokenise_samples
from nabi.training.train import TrainingJob
from nabi.training.worker import train_together, training_environment
from nabi.wiring import get_platform

ROOT = Path(__file__).resolve().parent.parent
MODELS, PERSONA, SEED = ROOT / "models", "nabiyam", 7
WAYS = ("padded", "trainer", "sft", "plain", "nabi")


@dataclass(frozen=True)
class Material:
    """What every way is given: the base, the recipe, and the samples in the order of nabi's first epoch."""

    base: LoadedBase
    recipe: Recipe
    samples: tuple[TokenisedSample, ...]
    max_length: int

    @property
    def num_steps(self) -> int:
        return -(-len(self.samples) // self.recipe.batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[160])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=512, help="what `padded` pads to")
    parser.add_argument("--many", type=int, help="train so many adapters")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--one", choices=(*WAYS, "script"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure_one(given.one, given.samples[0], given.max_length)))
        return
    figures = many(given) if given.many else compare(given)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Every way in turn, round by round; medians, and ratios to nabi within the rounds."""
    ways = [way for way in given.ways if way != "sft" or find_spec("trl")]
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(given.rounds):
        for way in ways:
            told[way].append(in_a_process(way, given.samples[0], given.threads, given.max_length))
    print(f"{given.samples[0]} samples, {given.threads} threads, {gemm(given.threads):.0f} GF/s in a large product")
    print("| way | samples/s | nabi is so many times as fast | greatest difference of a step's loss |")
    print("|---|---|---|---|")
    figures: dict[str, Any] = {}
    for way, runs in told.items():
        rate = statistics.median(run["rate"] for run in runs)
        ratio = statistics.median(ours["rate"] / run["rate"] for ours, run in zip(told["nabi"], runs, strict=True))
        pairs = zip(told["nabi"][0]["losses"], runs[0]["losses"], strict=True)
        apart = max(abs(one - other) for one, other in pairs)
        print(f"| {way} | {rate:.2f} | {ratio:.2f} | {apart:.1e} |", flush=True)
        figures[way] = {"rate": rate, "ratio": ratio, "apart": apart, "rates": [run["rate"] for run in runs]}
    return figures


def many(given: argparse.Namespace) -> dict[str, Any]:
    """`--many` adapters through nabi's process, and one process after the other with PEFT and Trainer."""
    figures: dict[str, Any] = {}
    print("| adapters | samples each | nabi, a minute | one by one, a minute | ratio |\n|---|---|---|---|---|")
    for num in given.samples:
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(given.many / together(given.many, num, given.threads) * 60)
            started = time.perf_counter()
            in_a_process("script", num, given.threads, given.max_length)
            theirs.append(60 / (time.perf_counter() - started))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        row = (statistics.median(ours), statistics.median(theirs), ratio)
        print(f"| {given.many} | {num} | {row[0]:.1f} | {row[1]:.1f} | {ratio:.1f} |", flush=True)
        figures[str(num)] = dict(zip(("nabi", "one by one", "ratio"), row, strict=True))
    return figures


def together(num_adapters: int, num_samples: int, threads: int) -> float:
    """Seconds for that many adapters, from the start of nabi's training process to its end."""
    persona = get_platform().personas()[PERSONA]
    ref = resolve_base("tiny-ko", MODELS)
    recipe = resolve_recipe(persona.recipe, ref).model_copy(update={"epochs": 1})
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        train, holdout = home / "train.jsonl", home / "holdout.jsonl"
        train.write_bytes(write_lines(dialogue_samples(num_samples)))
        holdout.write_bytes(b"")
        jobs = [
            TrainingJob(
                persona_id=PERSONA,
                system_prompt=persona.system_prompt,
                uses_facts=persona.uses_facts,
                base_model="tiny-ko",
                models_dir=MODELS,
                train_file=train,
                holdout_file=holdout,
                recipe=recipe,
                seed=number,
                out_dir=home / f"adapter-{number}",
                dataset_version="benchmark",
                dataset_digest="benchmark",
                commit="benchmark",
                threads=threads,
            )
            for number in range(num_adapters)
        ]
        started = time.perf_counter()
        for outcome in train_together(jobs, lambda *_: None):
            if isinstance(outcome, Exception):
                raise outcome
        return time.perf_counter() - started


def in_a_process(way: str, num_samples: int, threads: int, max_length: int) -> dict[str, Any]:
    arguments = ["--one", way, "--samples", str(num_samples), "--max-length", str(max_length)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=os.environ | training_environment(threads),
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure_one(way: str, num_samples: int, max_length: int) -> dict[str, Any]:
    """One way in this process: samples a second from the first step on, and each step's loss."""
    material = make_material(num_samples, max_length)
    ways: dict[str, Callable[[Material], tuple[float, list[float]]]] = {
        "padded": lambda given: with_trainer(given, padded=True),
        "script": lambda given: with_trainer(given, padded=True),
        "trainer": lambda given: with_trainer(given, padded=False),
        "sft": with_sft,
        "plain": with_plain_loop,
        "nabi": with_nabi,
    }
    seconds, losses = ways[way](material)
    timed = len(material.samples) - material.recipe.batch_size
    return {"rate": timed / seconds if seconds else None, "losses": losses}


def dialogue_samples(num: int) -> list[Any]:
    platform = get_platform()
    persona = platform.personas()[PERSONA]
    catalogue, wanted = platform.catalogue(persona), persona.bootstrap
    assert catalogue is not None
    assert wanted is not None
    dialogues = make_dialogues(catalogue, PERSONA, num, SEED, wanted.daily_limit, refused=wanted.refused)
    return [sample_from(dialogue) for dialogue in dialogues]


def make_material(num_samples: int, max_length: int) -> Material:
    import torch

    from nabi.training.order import epoch_order

    persona = get_platform().personas()[PERSONA]
    base = load_base(resolve_base("tiny-ko", MODELS), threads=int(os.environ["OMP_NUM_THREADS"]))
    recipe = resolve_recipe(persona.recipe, base.ref).model_copy(update={"epochs": 1, "dropout": 0.0})
    told = tokenise_samples(
        base.tokenizer,
        dialogue_samples(num_samples),
        system_prompt=persona.system_prompt,
        uses_facts=persona.uses_facts,
        max_length=max_length,
    ).samples
    lengths = [len(sample.input_ids) for sample in told]
    order = epoch_order(lengths, recipe.samples_a_step, torch.Generator().manual_seed(SEED))
    return Material(base, recipe, tuple(told[place] for place in order), max_length)


def fresh_model(given: Material) -> Any:
    """PEFT's model with the weights that nabi's training begins with."""
    from peft import get_peft_model
    from transformers import set_seed

    from nabi.training.recipe import lora_config

    set_seed(SEED)
    # As nabi does on short rows: the faster attention is every way's.
    given.base.model.set_attn_implementation("eager")
    return get_peft_model(given.base.model, lora_config(given.recipe))


def rows_of(samples: Sequence[TokenisedSample]) -> list[dict[str, list[int]]]:
    return [{"input_ids": sample.input_ids, "labels": sample.labels} for sample in samples]


class _FromTheFirstStep:
    """A Trainer's callback: the clock between the ends of the first step and the last, and the losses."""

    def __new__(cls) -> Any:
        from transformers import TrainerCallback

        class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
            def __init__(self) -> None:
                self.started = self.ended = 0.0
                self.losses: list[float] = []

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                self.ended = time.perf_counter()
                self.started = self.started or self.ended

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    self.losses.append(float(logs["loss"]))

        return Clock()


def _arguments(given: Material, folder: str) -> dict[str, Any]:
    recipe = given.recipe
    return {
        "output_dir": folder,
        "per_device_train_batch_size": recipe.batch_size,
        "num_train_epochs": 1,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": -(-given.num_steps * recipe.warmup // 1),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "seed": SEED,
        "dataloader_num_workers": 0,
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
        "gradient_checkpointing": False,
    }


def with_trainer(given: Material, *, padded: bool) -> tuple[float, list[float]]:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    collator = DataCollatorForSeq2Seq(
        given.base.tokenizer,
        padding="max_length" if padded else "longest",
        max_length=given.max_length if padded else None,
        pad_to_multiple_of=None if padded else 8,
    )
    clock = _FromTheFirstStep()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=fresh_model(given),
            args=TrainingArguments(**_arguments(given, folder)),
            train_dataset=rows_of(given.samples),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
    return clock.ended - clock.started, clock.losses


def with_sft(given: Material) -> tuple[float, list[float]]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    clock = _FromTheFirstStep()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=fresh_model(given),
            args=SFTConfig(
                **_arguments(given, folder),
                packing=False,
                max_length=None,
                pad_to_multiple_of=8,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=Dataset.from_list(rows_of(given.samples)),
            processing_class=given.base.tokenizer,
            callbacks=[clock],
        )
        trainer.train()
    return clock.ended - clock.started, clock.losses


def with_plain_loop(given: Material) -> tuple[float, list[float]]:
    import torch

    from nabi.training.loss import collate
    from nabi.training.recipe import learning_rate

    model = fresh_model(given)
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=given.recipe.learning_rate, weight_decay=0)
    size, losses = given.recipe.batch_size, []
    moments = []
    for step in range(given.num_steps):
        batch = collate(rows_of(given.samples[step * size : (step + 1) * size]), given.base.tokenizer.pad_token_id)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(given.recipe, step, given.num_steps)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
        moments.append(time.perf_counter())
    return moments[-1] - moments[0], losses


def with_nabi(given: Material) -> tuple[float, list[float]]:
    from nabi.training.checkpoint import Checkpoints, Every
    from nabi.training.trainer import fit

    # `fit` draws its order itself; the samples come back in the order that it draws from first.
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(
            given.base,
            in_the_order_before(given.samples, given.recipe),
            (),
            given.recipe,
            bad=(),
            start=None,
            seed=SEED,
            rows=given.recipe.batch_size,
            checkpoints=Checkpoints(Path(folder) / "checkpoints", Every()),
            on_progress=lambda _share, _text: moments.append(time.perf_counter()),
        )
    return moments[-1] - moments[0], [loss for _, loss in fitted.losses]


def in_the_order_before(ordered: Sequence[TokenisedSample], recipe: Recipe) -> list[TokenisedSample]:
    """The samples as they were before `epoch_order` ordered them: `fit` must draw the same order again."""
    by_id = {sample.sample_id: sample for sample in ordered}
    return [by_id[sample.sample_id] for sample in dialogue_samples(len(ordered)) if sample.sample_id in by_id]


def gemm(threads: int) -> float:
    """10⁹ multiplications and additions a second in a product of large matrices, on so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    one = torch.randn(2048, 2048)
    one @ one
    started = time.perf_counter()
    for _ in range(3):
        one @ one
    seconds = (time.perf_counter() - started) / 3
    torch.set_num_threads(before)
    return 2 * 2048**3 / seconds / 1e9


if __name__ == "__main__":
    main()
