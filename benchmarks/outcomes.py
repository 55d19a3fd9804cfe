"""Do the four outcomes of `make run` follow from the way, or only from the shipped windows? The same tour elsewhere.

    .venv/bin/python benchmarks/outcomes.py 1 2 3 4 [--answers 700] [--threads 1] [--models DIR] [--json FILE]

Each seed is another world: its own workbook, its own children's logs, its own order of training, made by the scripts
that made the shipped ones. The four windows are played step by step, without Prefect, on a fresh installation in a
temporary folder. A first adapter that the gate refuses is deployed by hand, so that window 4 can still be measured.

The gate's 100 to 150 prompts say little about a fault in one answer of 500: `--answers` asks every candidate that many
catalogue questions more, and counts the answers that fail a hard gate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from nabi.catalogue.dialogues import make_dialogues
from nabi.datasets.samples import chat_messages
from nabi.evaluation.hard_gates import broken_rules
from nabi.evaluation.prompts import given_text
from nabi.settings import Settings, get_settings
from nabi.steps.window import Window
from nabi.wiring import get_platform

ROOT = Path(__file__).resolve().parent.parent
PERSONA, FIRST_END = "nabiyam", datetime.fromisoformat("2026-07-01T12:00+09:00")
EXPECTED = {1: "deployed", 2: "skipped", 3: "kept", 4: "deployed"}


@dataclass(frozen=True)
class Outcome:
    """How one window of one world ended.

    Attributes:
        broken: the candidate's answers to the gate's prompts that fail a hard gate, by sample.
        num_asked, broken_asked: how many questions it was asked besides, and the answers to them that fail one.
    """

    seed: int
    window: int
    state: str
    sentence: str
    champion: float | None = None
    candidate: float | None = None
    gain: float | None = None
    num_prompts: int = 0
    seconds: float = 0.0
    broken: dict[str, str] = field(default_factory=dict)
    num_asked: int = 0
    broken_asked: dict[str, str] = field(default_factory=dict)

    @property
    def expected(self) -> bool:
        return self.state == EXPECTED[self.window]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--answers", type=int, default=0, help="catalogue questions to ask every candidate besides")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a training")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder that holds tiny-ko")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    outcomes: list[Outcome] = []
    print("| world | window | state | champion | candidate | gain | broken | broken besides | why |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            for outcome in play(Path(folder), seed, given):
                outcomes.append(outcome)
                print(_row(outcome), flush=True)
                if given.json:
                    text = json.dumps([asdict(o) for o in outcomes], ensure_ascii=False, indent=1)
                    given.json.write_text(text, encoding="utf-8")
    for window in given.windows:
        played = [outcome for outcome in outcomes if outcome.window == window]
        print(f"window {window}: {sum(o.expected for o in played)} of {len(played)} worlds {EXPECTED[window]}")
    _print_broken("the gate's prompts", [(len(o.broken), o.num_prompts) for o in outcomes])
    _print_broken("other questions", [(len(o.broken_asked), o.num_asked) for o in outcomes])


def _print_broken(asked: str, counts: list[tuple[int, int]]) -> None:
    broken, answers = (sum(column) for column in zip(*counts, strict=True))
    if answers:
        print(f"{asked}: {broken} of {answers:,} answers broken, {1000 * broken / answers:.1f} in 1,000")


def play(home: Path, seed: int, given: argparse.Namespace) -> Iterator[Outcome]:
    """The windows of one world, in order."""
    _make_world(home, seed)
    os.environ.update(
        NABI_HOME=str(home),
        NABI_PERSONAS_DIR=str(ROOT / str(Settings.model_fields["personas_dir"].default)),
        NABI_MODELS_DIR=str(given.models.resolve()),
        NABI_SEED=str(seed),
        NABI_THREADS=str(given.threads),
    )
    get_settings.cache_clear()
    get_platform.cache_clear()
    from nabi.cli.learn import ingest_report

    for number in (1, 2, 3, 4):
        ingest_report(home / "logs" / f"window-{number}.jsonl", "chat", None)
    for number in given.windows:
        yield play_window(seed, number, given.answers)


def play_window(seed: int, number: int, num_questions: int) -> Outcome:
    """One pass of the loop, as `flows/continuous_learning.py` orders its steps."""
    from nabi.steps import bootstrap, collect, conclude, evaluate, no_candidate, snapshot, train
    from nabi.training.progress import no_progress

    platform = get_platform()
    window = Window(persona_id=PERSONA, as_of=FIRST_END + timedelta(hours=6 * (number - 1)))
    collect.open_window(platform, window)
    filled = bootstrap.fill_up(platform, collect.keep_usable(platform, collect.collect(platform, window)))
    why_not = bootstrap.why_not_train(platform, filled)
    if why_not:
        return Outcome(seed, number, no_candidate.skip(platform, filled, why_not).state, why_not)
    taken = snapshot.take_snapshot(platform, filled)
    candidate = train.train_candidate(platform, taken, None, no_progress)
    scored = evaluate.evaluate_candidate(platform, candidate)
    judged = conclude.judge(platform, scored)
    go_on = judged.deploy or number == 1
    (conclude.deploy if go_on else conclude.keep)(platform, judged)
    scores = evaluate.load_contenders(scored.scores)[candidate.adapter].scores
    asked = ask_besides(seed, candidate.adapter, num_questions)
    return Outcome(
        seed=seed,
        window=number,
        state="deployed" if judged.deploy else "kept",
        sentence=judged.sentence,
        champion=judged.champion_quality,
        candidate=judged.candidate_quality,
        gain=judged.gain,
        num_prompts=len(scores),
        seconds=candidate.seconds,
        broken={s.sample_id: s.answer for s in scores if s.broken},
        num_asked=len(asked),
        broken_asked={question: answer for question, answer, reasons in asked if reasons},
    )


def ask_besides(seed: int, adapter: str, num: int) -> list[tuple[str, str, dict[str, str]]]:
    """Question, answer and failed hard gates: catalogue dialogues that are neither in the pool nor in one another."""
    from nabi.steps.bootstrap import bootstrap_pool
    from nabi.steps.evaluate import open_engine

    platform = get_platform()
    persona = platform.persona(PERSONA)
    catalogue = platform.catalogue(persona)
    if not num or catalogue is None or persona.bootstrap is None:
        return []
    known = {dialogue.messages for dialogue in bootstrap_pool(platform, persona)}
    drawn = make_dialogues(
        catalogue, PERSONA, num, seed + 1000, persona.bootstrap.daily_limit, refused=persona.bootstrap.refused
    )
    fresh = [dialogue for dialogue in drawn if dialogue.messages not in known]
    prompts = [chat_messages(persona.system_prompt, d.messages[:-1], d.facts) for d in fresh]
    answers = open_engine(platform, persona, [adapter]).generate(prompts, adapter)
    return [
        (prompt[-1]["content"], answer.text, broken_rules(answer.text, given_text(prompt), persona))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def _make_world(home: Path, seed: int) -> None:
    """A workbook and four windows of logs that follow from the seed alone."""
    workbook = home / "sample_data.xlsx"
    made = [
        ["make_sample_data.py", "--seed", str(seed), "--out", str(workbook), "--truth", str(home / "truth.json")],
        ["make_sample_logs.py", "--seed", str(seed), "--workbook", str(workbook), "--out", str(home / "logs")],
    ]
    for script, *arguments in made:
        command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
        subprocess.run(command, check=True, capture_output=True)


def _row(outcome: Outcome) -> str:
    qualities = [f"{value:.3f}" if value is not None else "–" for value in (outcome.champion, outcome.candidate)]
    gain = f"{outcome.gain:+.1%}" if outcome.gain is not None else "–"
    besides = f"{len(outcome.broken_asked)} of {outcome.num_asked}"
    cells = [
        outcome.seed,
        outcome.window,
        outcome.state,
        *qualities,
        gain,
        len(outcome.broken),
        besides,
        outcome.sentence,
    ]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
