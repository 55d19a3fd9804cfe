"""How far the gate can be trusted: how often it deploys what is equal, and how often what is really better.

    .venv/bin/python benchmarks/gate.py [--json FILE] simulate [--gates 1000] [--figure docs/gate-power.png]
    .venv/bin/python benchmarks/gate.py simulate --scores var/evaluations/nabiyam/nabiyam--v[23]/scores.json
    .venv/bin/python benchmarks/gate.py itself [--seeds 20] [--folder DIR]

`simulate` plays gates with the very `decide` of the loop. Qualities are drawn anew for every gate: prompts differ in
how hard they are, and each contender slips on some of them by itself. `--scores` takes what evaluations left and draws
prompts (with the answers of the newest version and of its opponent) from it as well: equal contenders are made of it
by swapping the two of a prompt at random; better ones from these, by lifting every answer of the candidate's alike, or
by mending some of them.

`itself` trains the shipped example's first adapter once more with each of many seeds and lets the gate compare every
one of them with the first: adapters that are equal but for luck. Each gate counts as the first of its seven days, which
is when the gate is easiest to pass.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nabi.evaluation.gate import Contender, Luck, decide, measured_scores
from nabi.evaluation.interval import detectable_gain, prompts_needed
from nabi.evaluation.score import PromptScore
from nabi.evaluation.spending import level_of_gate, most_gates
from nabi.personas.model import Evaluation
from nabi.serving.engine import Engine
from nabi.settings import Settings
from nabi.steps import bootstrap, collect
from nabi.steps.blind import opponent_in
from nabi.steps.evaluate import BASE, load_contenders, measure_with, prompts_of
from nabi.steps.snapshot import take_snapshot
from nabi.steps.train import training_job
from nabi.steps.window import Snapshot, Window
from nabi.training.base_model import load_base
from nabi.training.progress import no_progress
from nabi.training.worker import train_in_own_process
from nabi.wiring import Platform

ROOT, PERSONA = Path(__file__).resolve().parent.parent, "nabiyam"
NUM_ANCHORS = 100
SIZES = (60, 103, 150)
"""Prompts of the agents' smallest sets and of nabiyam's first and last gate in the shipped example."""
GAINS = (0.02, 0.05, 0.07, 0.10, 0.15)
MOST = most_gates(4)

Draw = Callable[[np.random.Generator, int, float], tuple[np.ndarray, np.ndarray]]


def synthetic(deviation: float, champion: float = 0.8) -> Draw:
    """Champion's and candidate's qualities: Beta-distributed hardness shared by both, and slips of each one's own.

    Args:
        deviation: standard deviation of the paired differences.
        champion: mean quality.
    """

    def draw(rng: np.random.Generator, size: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
        hardness = rng.beta(champion * 12, (1 - champion) * 12, size)
        slips = rng.random((2, size)) < 0.1
        # One slip in ten prompts with the variance that is asked for, given back elsewhere so that means stay.
        noise = np.where(slips, -3.0, 1 / 3) * deviation / np.sqrt(2)
        old, new = hardness + noise[0], hardness * (1 + gain) + noise[1]
        return np.clip(old, 0, 1), np.clip(new, 0, 1)

    return draw


def observed(path: Path, *, mended: bool) -> tuple[str, int, Draw]:
    """Prompts of a real evaluation, drawn with replacement; both contenders made equal on average by swapping.

    Args:
        mended: whether a better candidate is better on some prompts, by half of the mean quality, and equal on the
            rest; else every answer is better by the same share.

    Returns:
        A name, the number of prompts that were measured, and the draw.
    """
    contenders = load_contenders(path)
    new = path.parent.name
    old = opponent_in(contenders, new)
    sides = [[score.quality for score in measured_scores(contenders[name].scores)] for name in (old, new)]
    pairs = np.array(list(zip(*sides, strict=True)))
    # Room for a gain: a champion of 0.97 cannot become ten percent better. Relative gains do not see the scale.
    pairs *= 0.6 / pairs.max()
    height = pairs.mean() / 2

    def draw(rng: np.random.Generator, size: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
        drawn = pairs[rng.integers(0, len(pairs), size)]
        before, after = np.where(rng.random((size, 1)) < 0.5, drawn, drawn[:, ::-1]).T
        if mended:
            return before, after + height * (rng.random(size) < gain * pairs.mean() / height)
        return before, after * (1 + gain)

    name = f"{new.rpartition('--')[2]} and {old.rpartition('--')[2]}, {'mended' if mended else 'lifted'}"
    return name, len(pairs), draw


def contender(name: str, qualities: Sequence[float] | np.ndarray) -> Contender:
    scores = tuple(
        PromptScore.model_construct(
            sample_id=str(place),
            group="anchor" if place < min(NUM_ANCHORS, len(qualities) // 2) else "holdout",
            kind="menu",
            answer="",
            parts={"grounded": float(quality)},
            quality=float(quality),
            broken=(),
            details={},
        )
        for place, quality in enumerate(qualities)
    )
    return Contender.model_construct(name=name, scores=scores, probes=(), flaws={})


def share_deployed(draw: Draw, size: int, gain: float, gates: int, seed: int) -> tuple[float, float]:
    """Share of simulated gates that deploy, and of those that a bare comparison of means with 5 % would deploy."""
    rules, rng = Evaluation(min_prompts=10), np.random.default_rng((seed, size, int(gain * 1000)))
    deployed = naive = 0
    for _ in range(gates):
        old, new = draw(rng, size, gain)
        verdict = decide(contender("p--v1", old), contender("p--v2", new), rules, Luck(gate=1, most=MOST))
        deployed += verdict.deploy
        naive += new.mean() >= 1.05 * old.mean()
    return deployed / gates, naive / gates


def simulate(arguments: argparse.Namespace) -> dict[str, Any]:
    """False promotions at every size, number of gate and spread; power at every size."""
    draws: list[tuple[str, tuple[int, ...], Draw]]
    draws = [(f"spread {spread:g}", SIZES, synthetic(spread)) for spread in (0.05, 0.2)]
    for path in arguments.scores:
        for mended in (False, True):
            name, own_size, draw = observed(path, mended=mended)
            draws.append((name, (own_size,), draw))
    found: dict[str, Any] = {"gates": arguments.gates, "false": [], "power": []}
    for name, sizes, draw in draws:
        for size in sizes:
            ours, naive = share_deployed(draw, size, 0.0, arguments.gates, arguments.seed)
            found["false"].append({"draw": name, "prompts": size, "gate": 1, "ours": ours, "means": naive})
            print(f"A = A  {name:<18} {size:>4} prompts  gate 1: {ours:.2%}, bare means {naive:.2%}", flush=True)
        for gain in GAINS:
            ours, naive = share_deployed(draw, sizes[-1], gain, arguments.gates, arguments.seed + 1)
            found["power"].append({"draw": name, "prompts": sizes[-1], "gain": gain, "ours": ours, "means": naive})
            print(f"gain {gain:>4.0%}  {name:<18} {sizes[-1]} prompts: {ours:.1%}, bare means {naive:.1%}", flush=True)
    found["sizes"] = sizes_needed()
    if arguments.figure:
        draw_power(found["power"], arguments.figure)
    return found


def sizes_needed() -> list[dict[str, float]]:
    """Prompts that a true gain of 10 % needs, by spread and number of the gate."""
    rows = []
    for spread in (0.05, 0.1, 0.2, 0.3):
        for gate in (1, 4, 28):
            level = level_of_gate(Evaluation().false_deploys_a_week, gate, MOST)
            size = prompts_needed(spread / 0.8, 0.1, level, min_gain=0.05, certain_gain=0.0)
            seen = detectable_gain(spread / 0.8 / 150**0.5, 150, level, min_gain=0.05, certain_gain=0.0)
            rows.append({"spread": spread, "gate": gate, "level": level, "prompts_for_10": size, "seen_on_150": seen})
            print(f"spread {spread:g}, gate {gate}: {size} prompts for +10 %; 150 prompts see +{seen:.1%}")
    return rows


def itself(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the gate says of adapters that differ from the champion in the seed of their training alone."""
    with contextlib.nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory() as folder:
        platform, snapshot = first_dataset(Path(folder))
        persona = platform.persona(PERSONA)
        job = training_job(platform, persona, snapshot, None)
        names = [f"{PERSONA}--v{number}" for number in range(1, arguments.seeds + 2)]
        jobs = [
            job.model_copy(update={"seed": job.seed + number, "out_dir": Path(folder) / name})
            for number, name in enumerate(names)
        ]
        for one in jobs:
            if not one.out_dir.exists():
                train_in_own_process(one, no_progress)
        engine = Engine(load_base(platform.base(persona), threads=platform.settings.threads))
        for name, one in zip(names, jobs, strict=True):
            engine.load(name, one.out_dir)
        measured = measure_with(engine, persona, prompts_of(platform, persona, snapshot.version, {}), [BASE, *names])
    champion, *candidates = (measured[name] for name in names)
    verdicts = [decide(champion, candidate, persona.evaluation, Luck(gate=1, most=MOST)) for candidate in candidates]
    for verdict in verdicts:
        print(f"{verdict.candidate_name}: {verdict.sentence}", flush=True)
    gains = sorted(verdict.gain for verdict in verdicts if verdict.gain is not None)
    deployed, by_means = sum(verdict.deploy for verdict in verdicts), sum(gain >= 0.05 for gain in gains)
    print(
        f"{deployed} of {len(verdicts)} deployed, {by_means} by bare means; gains {gains[0]:+.2%} to {gains[-1]:+.2%}"
    )
    return {"deployed": deployed, "by_means": by_means, "verdicts": [one.model_dump(mode="json") for one in verdicts]}


def first_dataset(home: Path) -> tuple[Platform, Snapshot]:
    """A fresh installation with the dataset version of the shipped example's first window."""
    home.mkdir(parents=True, exist_ok=True)
    workbook = home / "sample_data.xlsx"
    workbook.unlink(missing_ok=True)
    workbook.symlink_to(ROOT / workbook.name)
    settings = Settings(home=home, personas_dir=ROOT / "personas", models_dir=ROOT / "models")
    log = ROOT / "examples" / "logs" / "window-1.jsonl"
    command = [sys.executable, "-m", "nabi.cli", "ingest", str(log)]
    environment = {**os.environ, "NABI_HOME": str(home), "NABI_PERSONAS_DIR": str(settings.personas)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    platform = Platform(settings)
    window = Window(persona_id=PERSONA, as_of=datetime.fromisoformat("2026-07-01T12:00+09:00"))
    collect.open_window(platform, window)
    filled = bootstrap.fill_up(platform, collect.keep_usable(platform, collect.collect(platform, window)))
    return platform, take_snapshot(platform, filled)


def draw_power(rows: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row["draw"] for row in rows):
        own = [row for row in rows if row["draw"] == name]
        label = f"{name}, {own[0]['prompts']} prompts"
        axes.plot([100 * row["gain"] for row in own], [row["ours"] for row in own], "o-", label=label)
    axes.axvline(5, color="#888", linestyle=":")
    axes.set_xlabel("true gain, %")
    axes.set_ylabel("share of gates that deploy")
    axes.set_title("first gate of seven days", loc="left", fontsize=11)
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    commands = parser.add_subparsers(dest="command", required=True)
    simulated = commands.add_parser("simulate")
    simulated.add_argument("--gates", type=int, default=1000)
    simulated.add_argument("--seed", type=int, default=1)
    simulated.add_argument("--scores", type=Path, nargs="+", default=[], help="scores.json of evaluations")
    simulated.add_argument("--figure", type=Path)
    simulated.set_defaults(run=simulate)
    alike = commands.add_parser("itself")
    alike.add_argument("--seeds", type=int, default=20)
    alike.add_argument("--folder", type=Path, help="keep the adapters here, so that an interrupted run goes on")
    alike.set_defaults(run=itself)
    arguments = parser.parse_args()
    started = time.monotonic()
    found = arguments.run(arguments)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
