"""Samples a second of nabi's training beside the usual ways to train the same adapter on the same samples.

    .venv/bin/python benchmarks/training.py [--samples 160] [--rounds 3] [--threads 2] [--max-length 512] [--json FILE]

Every way trains a LoRA adapter (the shipped base's recipe, one epoch, no dropout) on the same catalogue dialogues in
the same order of the same batches, each in a process of its own, one after the other, `--rounds` times around. So the
losses of all steps must be alike: the largest difference from nabi's is printed beside each ratio. What is timed begins
with the end of the first step, which warms everything up, and ends with the last: by the clock, and in processor
seconds, which other work on the machine stretches less.

    padded    transformers' Trainer, every sample padded to `--max-length`: the usual recipe
    trainer   transformers' Trainer, batches padded to their longest row
    sft       trl's SFTTrainer, batches padded to their longest row (left out where trl is not installed; on a CPU its
              packing needs a kernel that is not there)
    plain     a torch loop over PEFT's model, batches padded to their longest row, all logits
    nabi      nabi.training.trainer.fit

`--many 16 --samples 20 50` instead trains that many adapters, each on so many samples, in nabi's training process and
one by one with PEFT and Trainer (`--script`), a process each as scripts do it, and counts adapters a minute, starts
included; one script is run and counted so many times. `--at-once 4` computes four adapters as one batch, as on a GPU.
`--first-step` times a training process from its start to its first step.
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

from training_job import MODELS, training_job, write_samples

from nabi.catalogue.dialogues import make_dialogues
from nabi.datasets.samples import sample_from
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.preference import num_learned
from nabi.training.recipe import Recipe, resolve_recipe
from nabi.training.tokenise import TokenisedSample, tokenise_samples
from nabi.training.train import TrainingJob
from nabi.training.worker import train_together, training_environment
from nabi.wiring import get_platform

PERSONA, SEED = "nabiyam", 7
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
    parser.add_argument(
        "--script", choices=("padded", "trainer"), default="padded", help="what --many is compared with"
    )
    parser.add_argument("--at-once", type=int, help="adapters of --many in one batch; default: as nabi decides")
    parser.add_argument("--first-step", action="store_true", help="time a process from its start to its first step")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--one", choices=(*WAYS, "load"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure_one(given.one, given.samples[0], given.max_length)))
        return
    figures = first_step(given) if given.first_step else many(given) if given.many else compare(given)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Every way in turn, round by round; medians, and ratios to nabi within the rounds."""
    ways = [way for way in given.ways if way != "sft" or find_spec("trl")]
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(given.rounds):
        for way in ways:
            told[way].append(in_a_process(way, given.samples[0], given.threads, given.max_length))
    print(f"{given.samples[0]} samples, {given.threads} threads")
    print(
        "| way | samples/s | samples a processor s | nabi is so many times as fast (in processor s) | losses apart by |"
    )
    print("|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    for way, runs in told.items():
        rate, processor = (statistics.median(run[name] for run in runs) for name in ("rate", "processor"))
        ratio, processor_ratio = (
            statistics.median(ours[name] / run[name] for ours, run in zip(told["nabi"], runs, strict=True))
            for name in ("rate", "processor")
        )
        pairs = zip(told["nabi"][0]["losses"], runs[0]["losses"], strict=True)
        apart = max(abs(one - other) for one, other in pairs)
        row = f"{rate:.2f} | {processor:.2f} | {ratio:.2f} ({processor_ratio:.2f}) | {apart:.1e}"
        print(f"| {way} | {row} |", flush=True)
        figures[way] = {"rate": rate, "processor": processor, "ratio": ratio, "processor ratio": processor_ratio}
        figures[way] |= {"apart": apart, "each": [{**run, "losses": None} for run in runs]}
    done, limit = statistics.median(run["gflops"] for run in told["nabi"]), gemm()
    print(f"nabi: {done:.0f} GF a processor s, {done / limit:.0%} of the {limit:.0f} of a large product on one thread")
    return figures


def many(given: argparse.Namespace) -> dict[str, Any]:
    """`--many` adapters through nabi's process; one script with PEFT and Trainer, which stands for as many of them."""
    figures: dict[str, Any] = {}
    print("| adapters | samples each | nabi, a minute | one by one, a minute | ratio |\n|---|---|---|---|---|")
    for num in given.samples:
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(given.many / together(given.many, num, given) * 60)
            started = time.perf_counter()
            in_a_process(given.script, num, given.threads, given.max_length)
            theirs.append(60 / (time.perf_counter() - started))
            print(f"{num} samples: {ours[-1]:.2f} and {theirs[-1]:.2f} a minute", file=sys.stderr, flush=True)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        row = (statistics.median(ours), statistics.median(theirs), ratio)
        print(f"| {given.many} | {num} | {row[0]:.1f} | {row[1]:.1f} | {ratio:.1f} |", flush=True)
        figures[str(num)] = dict(zip(("nabi", "one by one", "ratio"), row, strict=True))
    return figures


def together(num_adapters: int, num_samples: int, given: argparse.Namespace) -> float:
    """Seconds for that many adapters, from the start of nabi's training process to its end."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = jobs_of(Path(folder), num_adapters, num_samples, given.threads)
        started = time.perf_counter()
        for outcome in train_together(jobs, lambda *_: None, at_once=given.at_once):
            if isinstance(outcome, Exception):
                raise outcome
        return time.perf_counter() - started


def jobs_of(folder: Path, num_adapters: int, num_samples: int, threads: int) -> list[TrainingJob]:
    """Trainings of one epoch on the same dialogues, each with a seed of its own."""
    persona = get_platform().personas()[PERSONA]
    write_samples(folder, train=dialogue_samples(num_samples))
    how: dict[str, Any] = {"uses_facts": persona.uses_facts, "threads": threads, "recipe": {"epochs": 1}}
    return [
        training_job(folder, f"adapter-{number}", persona.system_prompt, persona.recipe, seed=number, **how)
        for number in range(num_adapters)
    ]


def first_step(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the start of a training process to its imports' end and to its first step, and of loading alone."""
    told: dict[str, list[float]] = {"imports": [], "first step": [], "loading": []}
    for _ in range(given.rounds):
        imported, stepped = first_moments(given)
        told["imports"].append(imported)
        told["first step"].append(stepped)
        told["loading"].append(in_a_process("load", given.samples[0], given.threads, given.max_length)["seconds"])
    figures = {name: statistics.median(seconds) for name, seconds in told.items()}
    figures["beside loading"] = figures["first step"] - figures["loading"]
    print(" · ".join(f"{name} {seconds:.1f} s" for name, seconds in figures.items()))
    return figures | {"each": told}


def first_moments(given: argparse.Namespace) -> tuple[float, float]:
    """Seconds from the start of a training process to its first words, which follow its imports, and its first step."""
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        jobs = jobs_of(Path(folder), 1, given.samples[0], given.threads)
        started = time.perf_counter()
        train_together(jobs, lambda *_: moments.append(time.perf_counter() - started))
    return moments[0], moments[1]


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
    if way == "load":
        return {"seconds": loading()}
    material = make_material(num_samples, max_length)
    ways: dict[str, Callable[[Material], tuple[Clock, list[float]]]] = {
        "padded": lambda given: with_trainer(given, padded=True),
        "trainer": lambda given: with_trainer(given, padded=False),
        "sft": with_sft,
        "plain": with_plain_loop,
        "nabi": with_nabi,
    }
    clock, losses = ways[way](material)
    timed = material.samples[material.recipe.batch_size :]
    operations = sum(operations_of(sample, material.base.model) for sample in timed)
    return {
        "rate": len(timed) / clock.seconds,
        "processor": len(timed) / clock.processor,
        "gflops": operations / clock.processor / 1e9,
        "losses": losses,
    }


class Clock:
    """The time between the ends of the first step and of the last."""

    def __init__(self) -> None:
        self._moments: list[tuple[float, float]] = []

    def step_ended(self) -> None:
        self._moments.append((time.perf_counter(), time.process_time()))

    @property
    def seconds(self) -> float:
        return self._moments[-1][0] - self._moments[0][0]

    @property
    def processor(self) -> float:
        return self._moments[-1][1] - self._moments[0][1]


def loading() -> float:
    """Seconds to load the base once the libraries are imported."""
    ref, threads = resolve_base("tiny-ko", MODELS), int(os.environ["OMP_NUM_THREADS"])
    load_base(ref, threads=threads)  # the first one imports what it needs
    started = time.perf_counter()
    load_base(ref, threads=threads)
    return time.perf_counter() - started


def operations_of(sample: TokenisedSample, model: Any) -> float:
    """Multiplications and additions that a LoRA step cannot do without on a sample: the frozen layers forward and back.

    Two a weight and token in each direction, and the scores of the learned tokens; attention, the adapter's own
    products and padding are left out.
    """
    embedding = model.get_input_embeddings().weight.numel()
    layers = sum(weight.numel() for weight in model.parameters() if weight.dim() == 2) - embedding
    return float(4 * (len(sample.input_ids) * layers + num_learned(sample) * embedding))


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


def _watcher(clock: Clock, losses: list[float]) -> Any:
    """A Trainer's callback that fills both."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.step_ended()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                losses.append(float(logs["loss"]))

    return Watcher()


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


def with_trainer(given: Material, *, padded: bool) -> tuple[Clock, list[float]]:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    collator = DataCollatorForSeq2Seq(
        given.base.tokenizer,
        padding="max_length" if padded else "longest",
        max_length=given.max_length if padded else None,
        pad_to_multiple_of=None if padded else 8,
    )
    clock, losses = Clock(), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=fresh_model(given),
            args=TrainingArguments(**_arguments(given, folder)),
            train_dataset=rows_of(given.samples),
            data_collator=collator,
            callbacks=[_watcher(clock, losses)],
        )
        trainer.train()
    return clock, losses


def with_sft(given: Material) -> tuple[Clock, list[float]]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    clock, losses = Clock(), list[float]()
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
            callbacks=[_watcher(clock, losses)],
        )
        trainer.train()
    return clock, losses


def with_plain_loop(given: Material) -> tuple[Clock, list[float]]:
    import torch

    from nabi.training.loss import collate
    from nabi.training.recipe import learning_rate

    model = fresh_model(given)
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=given.recipe.learning_rate, weight_decay=0)
    size, clock, losses = given.recipe.batch_size, Clock(), list[float]()
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
        clock.step_ended()
    return clock, losses


def with_nabi(given: Material) -> tuple[Clock, list[float]]:
    from nabi.training.checkpoint import Checkpoints, Every
    from nabi.training.trainer import Task, fit

    # `fit` draws its order itself; the samples come back in the order that it draws from first.
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            train=in_the_order_before(given.samples, given.recipe),
            holdout=(),
            bad=(),
            recipe=given.recipe,
            start=None,
            seed=SEED,
            rows=given.recipe.batch_size,
            checkpoints=Checkpoints(Path(folder) / "checkpoints", Every()),
            on_progress=lambda _share, _text: clock.step_ended(),
        )
        fitted = fit(given.base, task)
    return clock, [loss for _, loss in fitted.losses]


def in_the_order_before(ordered: Sequence[TokenisedSample], recipe: Recipe) -> list[TokenisedSample]:
    """The samples as they were before `epoch_order` ordered them: `fit` must draw the same order again."""
    by_id = {sample.sample_id: sample for sample in ordered}
    return [by_id[sample.sample_id] for sample in dialogue_samples(len(ordered)) if sample.sample_id in by_id]


def gemm() -> float:
    """10⁹ multiplications and additions a processor second in a product of large matrices, on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    one = torch.randn(2048, 2048)
    one @ one
    started = time.process_time()
    for _ in range(3):
        one @ one
    seconds = (time.process_time() - started) / 3
    torch.set_num_threads(before)
    return 2 * 2048**3 / seconds / 1e9


if __name__ == "__main__":
    main()
