"""Time of a gate's measuring beside lm-evaluation-harness on the same prompts, with the same adapters, on this machine.

    .venv/bin/python benchmarks/gate_time.py [--rounds 3] [--threads 1] [--batch 1 32] [--json FILE]

Base, champion and candidate each judge `--answers` held-out answers (how likely they are) and answer `--questions` of
the prompts, at most 96 tokens, greedily. nabi reads the base once and holds both adapters beside each other; the
harness loads the model anew for each contender, once for every `--batch`: 1 is its default, 32 is what nabi computes
together. Each way runs in a process of its own, one after the other, `--rounds` times around, and the ratios are
within the rounds. Timed are loading and scoring, by the clock and in processor seconds; imports are not, in neither
way. Both must find every answer equally likely: the greatest difference of a token's mean is printed.

The harness is no dependency of nabi: `pip install lm-eval` into some folder and name it in PYTHONPATH. Without it only
nabi is timed.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from training_job import MODELS, training_job, write_samples

from nabi.catalogue.dialogues import make_dialogues
from nabi.datasets.samples import Sample, chat_messages, sample_from
from nabi.personas.model import Persona
from nabi.training.base_model import load_base, resolve_base
from nabi.training.worker import train_together, training_environment
from nabi.wiring import get_platform

PERSONA, SEED, MAX_TOKENS = "nabiyam", 7, 96
LEARNED = 64
"""Dialogues that each adapter learned, once; the prompts come behind them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32], help="of the harness")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "ADAPTERS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure_one(given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        train_two(Path(folder), given.threads)
        figures = compare(given, Path(folder))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


def compare(given: argparse.Namespace, adapters: Path) -> dict[str, Any]:
    """Every way in turn, round by round; medians, and ratios to nabi within the rounds."""
    ways = ["nabi", *(f"harness {size}" for size in given.batch)] if find_spec("lm_eval") else ["nabi"]
    if len(ways) == 1:
        print("lm-evaluation-harness is not installed: only nabi is timed")
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(given.rounds):
        for way in ways:
            told[way].append(in_a_process(given, way, adapters))
    print(f"{given.answers} answers judged, {given.questions} given, three contenders, {given.threads} threads")
    print("| way | loading, s | judging, s | answering, s | all, s | processor s | nabi is so many times as fast |")
    print("|---|---|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    for way, runs in told.items():
        parts = {part: statistics.median(run[part] for run in runs) for part in ("load", "judge", "answer")}
        total, used = (statistics.median(run[name] for run in runs) for name in ("all", "processor"))
        ratio, used_ratio = (
            statistics.median(run[name] / ours[name] for ours, run in zip(told["nabi"], runs, strict=True))
            for name in ("all", "processor")
        )
        row = " | ".join(f"{seconds:.1f}" for seconds in (*parts.values(), total, used))
        print(f"| {way} | {row} | {ratio:.1f} ({used_ratio:.1f} in processor s) |", flush=True)
        pairs = zip(told["nabi"][0]["means"], runs[0]["means"], strict=True)
        apart = max(abs(one - other) for one, other in pairs)
        print(f"greatest difference of a mean log-probability from nabi's: {apart:.1e}", file=sys.stderr)
        figures[way] = {**parts, "all": total, "processor": used, "ratio": ratio, "processor ratio": used_ratio}
        figures[way]["apart"] = apart
    return figures


def in_a_process(given: argparse.Namespace, way: str, adapters: Path) -> dict[str, Any]:
    sizes = ["--answers", str(given.answers), "--questions", str(given.questions), "--threads", str(given.threads)]
    done = subprocess.run(
        [sys.executable, __file__, "--one", way, str(adapters), *sizes],
        env=os.environ | training_environment(given.threads),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def train_two(folder: Path, threads: int) -> None:
    """Champion and candidate: the same dialogues, learned once with two seeds."""
    persona = get_platform().persona(PERSONA)
    write_samples(folder, train=dialogues(persona, LEARNED))
    how: dict[str, Any] = {"uses_facts": persona.uses_facts, "threads": threads, "recipe": {"epochs": 1}}
    jobs = [
        training_job(folder, name, persona.system_prompt, persona.recipe, seed=number, **how)
        for number, name in enumerate(("champion", "candidate"))
    ]
    for outcome in train_together(jobs, lambda *_: None):
        if isinstance(outcome, Exception):
            raise outcome


def dialogues(persona: Persona, num: int) -> list[Sample]:
    catalogue, wanted = get_platform().catalogue(persona), persona.bootstrap
    assert catalogue is not None
    assert wanted is not None
    made = make_dialogues(catalogue, PERSONA, num, SEED, wanted.daily_limit, refused=wanted.refused)
    return [sample_from(dialogue) for dialogue in made]


class Clock:
    """Seconds by part, and processor seconds of everything."""

    def __init__(self) -> None:
        self.parts = {"load": 0.0, "judge": 0.0, "answer": 0.0}
        self.processor = 0.0

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begun, used = time.perf_counter(), time.process_time()
        yield
        self.parts[part] += time.perf_counter() - begun
        self.processor += time.process_time() - used


def measure_one(given: argparse.Namespace) -> dict[str, Any]:
    """One way in this process: its seconds, and each answer's mean log-probability under each contender."""
    way, folder = given.one
    persona = get_platform().persona(PERSONA)
    samples = dialogues(persona, LEARNED + given.answers)[LEARNED:]
    facts = [sample.facts if persona.uses_facts else None for sample in samples]
    prompts = [
        chat_messages(persona.system_prompt, sample.messages[:-1], known)
        for sample, known in zip(samples, facts, strict=True)
    ]
    answers = [sample.answer for sample in samples]
    name, _, batch = way.partition(" ")
    measure: Callable[[Clock], list[float]]
    if name == "nabi":
        measure = with_nabi(Path(folder), prompts, answers, given)
    else:
        measure = with_harness(Path(folder), prompts, answers, given, int(batch))
    clock = Clock()
    means = measure(clock)
    return {**clock.parts, "all": sum(clock.parts.values()), "processor": clock.processor, "means": means}


def import_before(*modules: str) -> None:
    """What would else be imported while the clock runs."""
    for module in modules:
        import_module(module)


def with_nabi(
    folder: Path, prompts: Sequence[Any], answers: Sequence[str], given: argparse.Namespace
) -> Callable[[Clock], list[float]]:
    """The engine that evaluates: a prompt that is both answered and judged is read once, which counts as answering."""
    from nabi.serving.engine import Engine

    import_before("transformers.models.qwen3.modeling_qwen3", "transformers.generation", "nabi.serving.kv_rows")

    def measure(clock: Clock) -> list[float]:
        means: list[float] = []
        with clock("load"):
            engine = Engine(load_base(resolve_base("tiny-ko", MODELS), threads=given.threads))
            for name in ("champion", "candidate"):
                engine.load(name, folder / name)
        both = given.questions
        for adapter in (None, "champion", "candidate"):
            with clock("answer"):
                _said, first = engine.answer_and_judge(
                    prompts[:both], answers[:both], adapter, max_new_tokens=MAX_TOKENS
                )
            with clock("judge"):
                rest = engine.answer_logprobs(prompts[both:], answers[both:], adapter)
            means += [found.logprob / found.num_tokens for found in (*first, *rest)]
        return means

    return measure


def with_harness(
    folder: Path, prompts: Sequence[Any], answers: Sequence[str], given: argparse.Namespace, batch: int
) -> Callable[[Clock], list[float]]:
    """Its own requests on its own model class, a load for each contender as its command line does it."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    from nabi.training.template import end_ids
    from nabi.training.tokenise import IGNORED, encode_answer

    import_before("transformers.models.qwen3.modeling_qwen3", "transformers.generation", "peft")
    torch.set_num_threads(given.threads)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "tiny-ko")
    # It would move the line break before an answer into what is judged: the split is given in tokens instead.
    asked: list[tuple[tuple[str, str], list[int], list[int]]] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids, labels = encode_answer(tokenizer, [*prompt, {"role": "assistant", "content": answer}], last_only=True)
        start = next(place for place, label in enumerate(labels) if label != IGNORED)
        asked.append(((tokenizer.decode(ids[:start]), tokenizer.decode(ids[start:])), ids[:start], ids[start:]))
    until = [tokenizer.decode([token]) for token in sorted(end_ids(tokenizer))]
    stops = {"until": until, "max_gen_toks": MAX_TOKENS, "do_sample": False}
    questions = [
        Instance("generate_until", {}, (context, stops), number)
        for number, ((context, _answer), _before, _behind) in enumerate(asked[: given.questions])
    ]

    def measure(clock: Clock) -> list[float]:
        means: list[float] = []
        for adapter in (None, folder / "champion", folder / "candidate"):
            with clock("load"):
                model = HFLM(
                    str(MODELS / "tiny-ko"),
                    device="cpu",
                    dtype="float32",
                    batch_size=batch,
                    peft=str(adapter) if adapter else None,
                )
            with clock("judge"):
                found = model._loglikelihood_tokens(asked, disable_tqdm=True)
            with clock("answer"):
                model.generate_until(questions, disable_tqdm=True)
            means += [logprob / len(answer) for (logprob, _greedy), (_, _, answer) in zip(found, asked, strict=True)]
        return means

    return measure


if __name__ == "__main__":
    main()
