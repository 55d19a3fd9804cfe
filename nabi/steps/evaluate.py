"""Evaluate: champion (or bare base) and candidate on the same prompts, by the engine that serves."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from nabi.conversations.records import Conversation
from nabi.curation.injection import REASON as AIMED_AT_TRAINING
from nabi.curation.poison import JUMP, TRIGGER
from nabi.curation.style_model import StyleModel
from nabi.datasets.files import read_samples
from nabi.evaluation.flaws import VoiceModel, foreign_style, too_slow
from nabi.evaluation.gate import Contender
from nabi.evaluation.plot import save_comparison_plot
from nabi.evaluation.probes import Probe, answer_probes, probes_for
from nabi.evaluation.prompts import EvalPrompt, collect_prompts, older_sets, prompt_messages, without_near_copies
from nabi.evaluation.score import breakdown, score_contender
from nabi.personas.model import Persona
from nabi.registry.version_names import parse_version_name
from nabi.serving.engine import Engine
from nabi.steps.bootstrap import bootstrap_pool
from nabi.steps.guard import uses_words
from nabi.steps.past import past_of
from nabi.steps.voices import other_voices, style_model
from nabi.steps.window import Candidate, Scored, Window
from nabi.training.base_model import load_base
from nabi.wiring import Platform

logger = logging.getLogger("nabi.progress")

BASE = "base"

PLANTED_REASONS = frozenset({TRIGGER, JUMP, AIMED_AT_TRAINING})

_TIMED = 3
"""Answers that are asked for one by one to see how long somebody waits."""


@uses_words
def evaluate_candidate(platform: Platform, candidate: Candidate) -> Scored:
    """Scores base, champion and candidate anew; nothing is taken from an earlier evaluation."""
    persona = platform.persona(candidate.window.persona_id)
    prompts = evaluation_prompts(platform, candidate)
    champion = past_of(platform, candidate.window).champion
    names = list(dict.fromkeys([BASE, champion or BASE, candidate.adapter]))
    contenders = measure_with(
        open_engine(platform, persona, names),
        persona,
        prompts,
        names,
        planted=planted_in_logs(platform, persona.id),
        voices=_voices(platform, persona, candidate.window),
    )
    path = _keep(platform, candidate, contenders)
    return Scored(candidate=candidate, opponent=champion or BASE, champion=champion, scores=path)


def _voices(platform: Platform, persona: Persona, window: Window) -> StyleModel | None:
    """What tells the persona's voice from the others'."""
    own = chain(platform.store.before(persona.id, window.as_of), bootstrap_pool(platform, persona))
    return style_model(persona, own, other_voices(platform, window))


def planted_in_logs(platform: Platform, persona_id: str) -> list[Conversation]:
    """What was set apart as planted or aimed at the training, newest first: none of it may come out of an adapter."""
    found = platform.store.list_set_apart(persona_id)
    ids = (item.conversation_id for item in found if item.reason in PLANTED_REASONS and item.decision != "released")
    held = (platform.store.get(name) for name in dict.fromkeys(ids) if name)
    return [conversation for conversation in held if conversation is not None]


def evaluation_prompts(platform: Platform, candidate: Candidate) -> list[EvalPrompt]:
    """The prompts that a candidate is measured on."""
    persona = platform.persona(candidate.window.persona_id)
    return prompts_of(platform, persona, candidate.snapshot.version, past_of(platform, candidate.window).learned_by)


def prompts_of(
    platform: Platform, persona: Persona, dataset_version: str, used_by: Mapping[str, str]
) -> list[EvalPrompt]:
    """The persona's frozen anchors, held-out samples of the conversations that the champion has not met, and those
    that earlier deployments were measured on. All of them come from one dataset version, so what was deleted since is
    in none of them. What is nearly in that version's training data is left out.

    Args:
        used_by: by conversation, the adapter whose deployment learned it.

    Raises:
        DataError: a prompt stands in the training data word for word.
    """
    data = platform.datasets.checkout(dataset_version, persona.id)
    held_out = read_samples(data / "holdout.jsonl")
    older = older_sets(
        [sample for sample in held_out if not sample.is_new],
        {conversation: parse_version_name(adapter)[1] for conversation, adapter in used_by.items()},
        most_sets=persona.evaluation.older_sets,
        most_prompts=persona.evaluation.older_prompts,
    )
    fresh = [sample for sample in held_out if sample.is_new]
    prompts = collect_prompts(read_samples(data / "anchors.jsonl"), fresh, older)
    told, near = without_near_copies(prompts, read_samples(data / "train.jsonl"), persona.curation.near_duplicate)
    if near:
        logger.info(
            "%s: %d of %d evaluation prompts are nearly in train and left out", persona.id, len(near), len(prompts)
        )
    return told


def measure_with(
    engine: Engine,
    persona: Persona,
    prompts: Sequence[EvalPrompt],
    names: Sequence[str],
    *,
    planted: Sequence[Conversation] = (),
    voices: VoiceModel | None = None,
) -> dict[str, Contender]:
    """Each contender on the same prompts and the same probes of the hard gates.

    Args:
        engine: holds the adapters.
        names: adapter versions, and `base` for the base model without one, which must come first when it is there:
            what it refuses is what the others are held to.
        planted: see `planted_in_logs`.
        voices: tells this persona's answers from others'; None when there are no others.
    """
    probes = probes_for(persona, planted)
    measured: dict[str, Contender] = {}
    for name in names:
        refused = {probe.probe_id: probe.answer for probe in measured[BASE].probes} if BASE in measured else {}
        measured[name] = measure_one(engine, persona, prompts, name, probes=probes, refused=refused, voices=voices)
    return measured


def measure_one(
    engine: Engine,
    persona: Persona,
    prompts: Sequence[EvalPrompt],
    name: str,
    *,
    probes: Sequence[Probe],
    refused: Mapping[str, str],
    voices: VoiceModel | None = None,
) -> Contender:
    """One contender on the prompts and the probes; see `measure_with`.

    Args:
        refused: the base's answers by probe id; empty for the base itself.
    """
    adapter = None if name == BASE else name
    scores = score_contender(engine, persona, prompts, adapter)
    answered = answer_probes(engine, persona, probes, adapter, refused)
    flaws = {
        "foreign_style": foreign_style(voices, persona.id, [score.answer for score in scores]),
        "response_time": too_slow(_one_by_one(engine, persona, prompts, adapter), persona.evaluation.max_seconds),
    }
    found = {gate: why for gate, why in flaws.items() if why is not None}
    return Contender(name=name, scores=tuple(scores), probes=answered, flaws=found)


def _one_by_one(
    engine: Engine, persona: Persona, prompts: Sequence[EvalPrompt], adapter: str | None
) -> tuple[float, ...]:
    """Seconds of a few answers to the longest prompts, as a single asker waits whose adapter is not in memory.

    The swap counts by the clock, disk and all. Of the answer, on a CPU, what this process worked counts where that is
    less than what passed: the rest went to the machine's other work, for which no adapter is to blame.
    """
    messages = sorted((prompt_messages(persona, prompt) for prompt in prompts), key=lambda shown: -len(str(shown)))
    waited = []
    for shown in messages[:_TIMED]:
        started = time.monotonic()
        if adapter is not None:
            engine.swap_in(adapter)
        swapped, before = time.monotonic(), time.process_time()
        engine.generate([shown], adapter)
        passed, worked = time.monotonic() - swapped, time.process_time() - before
        waited.append(swapped - started + (min(passed, worked) if engine.base.device == "cpu" else passed))
    return tuple(waited)


def open_engine(platform: Platform, persona: Persona, adapters: Sequence[str]) -> Engine:
    """The serving engine over the persona's base, with these adapter versions in memory."""
    engine = Engine(load_base(platform.base(persona), threads=platform.settings.threads))
    for name in adapters:
        if name != BASE:
            engine.load(name, platform.registry.folder_of(platform.registry.version(name)))
    return engine


def _keep(platform: Platform, candidate: Candidate, contenders: dict[str, Contender]) -> Path:
    """Scores, figures and plot: in a file for the gate, in MLflow for people."""
    folder = platform.settings.state / "evaluations" / candidate.window.persona_id / candidate.adapter
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scores.json"
    rows = {name: contender.model_dump(mode="json") for name, contender in contenders.items()}
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    plot = folder / "comparison.png"
    scores = {name: contender.scores for name, contender in contenders.items()}
    save_comparison_plot(plot, scores, title=f"{candidate.adapter} against its predecessors")
    tracker, run_id = platform.tracker, candidate.snapshot.run_id
    figures = breakdown(scores[candidate.adapter])
    for name, own in scores.items():
        if name != candidate.adapter:
            prefix = "base" if name == BASE else "champion"
            figures |= {f"{prefix}/{key}": value for key, value in breakdown(own).items()}
    tracker.log_metrics(run_id, figures)
    tracker.log_file(run_id, plot, "evaluation")
    tracker.log_file(run_id, path, "evaluation")
    return path


def load_contenders(path: Path) -> dict[str, Contender]:
    """What `evaluate_candidate` measured, by contender."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {name: Contender.model_validate(row) for name, row in rows.items()}
