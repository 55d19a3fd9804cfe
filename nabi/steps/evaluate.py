"""Evaluate: champion (or bare base) and candidate on the same prompts, by the engine that serves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nabi.datasets.files import read_samples
from nabi.evaluation.plot import save_comparison_plot
from nabi.evaluation.prompts import EvalPrompt, collect_prompts, older_sets
from nabi.evaluation.score import PromptScore, breakdown, score_contender
from nabi.personas.model import Persona
from nabi.registry.adapters import parse_version_name
from nabi.serving.engine import Engine
from nabi.steps.guard import uses_words
from nabi.steps.past import past_of
from nabi.steps.window import Candidate, Scored
from nabi.training.base_model import load_base
from nabi.wiring import Platform

BASE = "base"


@uses_words
def evaluate_candidate(platform: Platform, candidate: Candidate) -> Scored:
    """Scores base, champion and candidate anew; nothing is taken from an earlier evaluation."""
    persona = platform.persona(candidate.window.persona_id)
    prompts = evaluation_prompts(platform, candidate)
    champion = past_of(platform, candidate.window).champion
    contenders = [BASE, *([champion] if champion else []), candidate.adapter]
    scores = score_contenders(platform, persona, prompts, contenders)
    path = _keep(platform, candidate, scores)
    return Scored(candidate=candidate, opponent=champion or BASE, champion=champion, scores=path)


def evaluation_prompts(platform: Platform, candidate: Candidate) -> list[EvalPrompt]:
    """The persona's frozen anchors, held-out samples of the conversations that the champion has not met, and those
    that earlier deployments were measured on. All of them come from the candidate's own dataset version, so what was
    deleted since is in none of them."""
    persona = platform.persona(candidate.window.persona_id)
    data = platform.datasets.checkout(candidate.snapshot.version, persona.id)
    held_out = read_samples(data / "holdout.jsonl")
    used_by = past_of(platform, candidate.window).learned_by
    older = older_sets(
        [sample for sample in held_out if not sample.is_new],
        {conversation: parse_version_name(adapter)[1] for conversation, adapter in used_by.items()},
        most_sets=persona.evaluation.older_sets,
        most_prompts=persona.evaluation.older_prompts,
    )
    fresh = [sample for sample in held_out if sample.is_new]
    return collect_prompts(read_samples(data / "anchors.jsonl"), fresh, older)


def score_contenders(
    platform: Platform, persona: Persona, prompts: Sequence[EvalPrompt], contenders: Sequence[str]
) -> dict[str, list[PromptScore]]:
    """Each contender's scores on the same prompts; `base` is the base model without an adapter."""
    engine = open_engine(platform, persona, contenders)
    return {
        name: score_contender(engine, persona, prompts, adapter=None if name == BASE else name) for name in contenders
    }


def open_engine(platform: Platform, persona: Persona, adapters: Sequence[str]) -> Engine:
    """The serving engine over the persona's base, with these adapter versions in memory."""
    engine = Engine(load_base(platform.base(persona), threads=platform.settings.threads))
    for name in adapters:
        if name != BASE:
            engine.load(name, platform.registry.folder_of(platform.registry.version(name)))
    return engine


def _keep(platform: Platform, candidate: Candidate, scores: dict[str, list[PromptScore]]) -> Path:
    """Scores, figures and plot: in a file for the gate, in MLflow for people."""
    folder = platform.settings.state / "evaluations" / candidate.window.persona_id / candidate.adapter
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scores.json"
    path.write_text(
        json.dumps({name: [s.model_dump() for s in rows] for name, rows in scores.items()}, ensure_ascii=False)
    )
    plot = folder / "comparison.png"
    save_comparison_plot(plot, scores, title=f"{candidate.adapter} against its predecessors")
    tracker, run_id = platform.tracker, candidate.snapshot.run_id
    figures = breakdown(scores[candidate.adapter])
    for name, rows in scores.items():
        if name != candidate.adapter:
            prefix = "base" if name == BASE else "champion"
            figures |= {f"{prefix}/{key}": value for key, value in breakdown(rows).items()}
    tracker.log_metrics(run_id, figures)
    tracker.log_file(run_id, plot, "evaluation")
    tracker.log_file(run_id, path, "evaluation")
    return path


def load_scores(path: Path) -> dict[str, list[PromptScore]]:
    """Scores as `evaluate_candidate` wrote them."""
    return {name: [PromptScore(**row) for row in rows] for name, rows in json.loads(path.read_text()).items()}
