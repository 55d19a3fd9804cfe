"""One contender's answers to the evaluation prompts, measured part by part.

The contender answers through the engine that serves, so that what is judged is what users will get.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import fsum, nan
from typing import Any, Protocol

from pydantic import ConfigDict, Field

from nabi.conversations.records import Frozen
from nabi.errors import DataError, ModelError
from nabi.evaluation.claims import Given, build_vocabulary
from nabi.evaluation.hard_gates import HARD_GATES, broken_rules
from nabi.evaluation.prompts import MEASURED_GROUPS, EvalPrompt, given_text, prompt_messages
from nabi.personas.model import Persona, Weights

logger = logging.getLogger(__name__)

PARTS = ("grounded", "style", "likelihood", "form")
"""The parts of the quality score, named as in `nabi.personas.model.Weights`."""


class Generated(Protocol):
    """What the engine gives back for one prompt."""

    @property
    def text(self) -> str: ...
    @property
    def num_tokens(self) -> int: ...
    @property
    def finished(self) -> bool: ...
    @property
    def seconds(self) -> float: ...


class Scored(Protocol):
    """How likely a given answer is: the summed natural-log probability of its tokens, and their number."""

    @property
    def logprob(self) -> float: ...
    @property
    def num_tokens(self) -> int: ...


class AnsweringEngine(Protocol):
    """What evaluation needs of the serving engine. `adapter` None is the bare base model."""

    def generate(self, prompts: Sequence[list[dict[str, str]]], adapter: str | None) -> Sequence[Generated]: ...

    def answer_and_judge(
        self, prompts: Sequence[list[dict[str, str]]], answers: Sequence[str], adapter: str | None
    ) -> tuple[Sequence[Generated], Sequence[Scored]]: ...


class PromptScore(Frozen):
    """How one contender did on one prompt.

    Attributes:
        parts: the parts of quality that apply to this persona, each in [0, 1].
        quality: their weighted mean with the persona's weights, in [0, 1].
        broken: the hard gates that the answer fails.
        details: what the parts were made of, and figures beside quality (perplexity's terms, chrF, seconds).
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    sample_id: str
    group: str
    kind: str
    answer: str
    parts: dict[str, float]
    quality: float
    broken: tuple[str, ...] = ()
    details: dict[str, float] = Field(default_factory=dict)


def score_contender(
    engine: AnsweringEngine, persona: Persona, prompts: Sequence[EvalPrompt], adapter: str | None
) -> list[PromptScore]:
    """Let one contender answer every prompt and measure it; scores come in the order of the prompts.

    Args:
        adapter: the adapter's name in the engine; None for the bare base model.

    Raises:
        DataError: there are no prompts.
        ModelError: the engine gave back another number of answers than it was asked for.
    """
    if not prompts:
        raise DataError("no evaluation prompts.", where=persona.id, fix="Collect anchors or held-out samples.")
    messages = [prompt_messages(persona, prompt) for prompt in prompts]
    references = [prompt.sample.answer for prompt in prompts]
    answers, likelihoods = engine.answer_and_judge(messages, references, adapter)
    if not len(answers) == len(likelihoods) == len(prompts):
        raise ModelError(f"{len(prompts)} prompts gave {len(answers)} answers.", where=adapter or "base model")
    rows = _measure(persona, prompts, answers, likelihoods)
    scores = [
        _prompt_score(persona, prompt, answer.text, given_text(shown), row)
        for prompt, answer, shown, row in zip(prompts, answers, messages, rows, strict=True)
    ]
    logger.info("%s: quality %.3f on %d prompts", adapter or "base model", mean_quality(scores), len(scores))
    return scores


def _measure(
    persona: Persona, prompts: Sequence[EvalPrompt], answers: Sequence[Generated], likelihoods: Sequence[Scored]
) -> list[dict[str, float]]:
    """All metrics' values, one row a prompt."""
    from nabi.evaluation.metrics.chrf import ChrF
    from nabi.evaluation.metrics.form import WellFormed
    from nabi.evaluation.metrics.likelihood import AnswerLikelihood
    from nabi.evaluation.metrics.style import StyleMatch

    texts = [answer.text for answer in answers]
    bounds = persona.evaluation
    results = [
        _groundedness(persona, prompts, texts),
        StyleMatch().compute(predictions=texts, **persona.style.model_dump()),
        AnswerLikelihood().compute(
            predictions=[likelihood.logprob for likelihood in likelihoods],
            references=[likelihood.num_tokens for likelihood in likelihoods],
        ),
        WellFormed().compute(
            predictions=texts,
            references=[answer.finished for answer in answers],
            min_chars=bounds.min_answer_chars,
            max_chars=bounds.max_answer_chars,
        ),
        ChrF().compute(predictions=texts, references=[prompt.sample.answer for prompt in prompts]),
    ]
    rows: list[dict[str, float]] = [_plain_figures(*pair) for pair in zip(answers, likelihoods, strict=True)]
    for result in results:
        for row, values in zip(rows, result["per_sample"], strict=True):
            row.update(values)
    return rows


def _groundedness(persona: Persona, prompts: Sequence[EvalPrompt], texts: Sequence[str]) -> dict[str, Any]:
    from nabi.evaluation.metrics.groundedness import Groundedness

    given = [given_of(persona, prompt) for prompt in prompts]
    references = [prompt.sample.answer for prompt in prompts]
    return Groundedness().compute(
        predictions=list(texts),
        references=references,
        turns=[shown.turns for shown in given],
        asked=[shown.asked for shown in given],
        facts=[[_entries(fact) for fact in shown.facts] for shown in given],
        vocabulary=build_vocabulary(zip(references, given, strict=True)),
    )


def given_of(persona: Persona, prompt: EvalPrompt) -> Given:
    """What a model could know for this prompt: its facts, and the persona's prompt with the turns so far."""
    before = prompt.sample.messages[:-1]
    return Given(
        facts=prompt.sample.facts if persona.uses_facts else (),
        turns="\n".join([persona.system_prompt, *(message.content for message in before)]),
        asked="\n".join(message.content for message in before if message.role == "user"),
    )


def _entries(fact: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"label": label, "value": value} for label, value in fact.items()]


def _plain_figures(answer: Generated, likelihood: Scored) -> dict[str, float]:
    return {
        "chars": float(len(answer.text)),
        "tokens": float(answer.num_tokens),
        "seconds": answer.seconds,
        "reference_logprob": likelihood.logprob,
        "reference_tokens": float(likelihood.num_tokens),
    }


def _prompt_score(
    persona: Persona, prompt: EvalPrompt, answer: str, given: str, row: Mapping[str, float]
) -> PromptScore:
    parts = {name: row[name] for name in applicable_parts(persona)}
    return PromptScore(
        sample_id=prompt.sample.sample_id,
        group=prompt.group,
        kind=prompt.kind,
        answer=answer,
        parts=parts,
        quality=weighted_quality(parts, persona.evaluation.weights),
        broken=tuple(broken_rules(answer, given, persona)),
        details={name: value for name, value in row.items() if name not in parts},
    )


def applicable_parts(persona: Persona) -> tuple[str, ...]:
    """The parts that can tell contenders apart: a persona without facts or without a declared style lacks that part."""
    applies = {"grounded": persona.uses_facts, "style": bool(persona.style.endings or persona.style.keywords)}
    return tuple(part for part in PARTS if applies.get(part, True))


def weighted_quality(parts: Mapping[str, float], weights: Weights) -> float:
    """The mean of the parts with the persona's weights, scaled to those that apply; in [0, 1] for parts in [0, 1].

    NaN when all weights of the parts that apply are 0, which the gate refuses.
    """
    total = fsum(getattr(weights, name) for name in parts)
    return fsum(getattr(weights, name) * value for name, value in parts.items()) / total if total else nan


def mean_quality(scores: Iterable[PromptScore]) -> float:
    """The mean quality of at least one prompt; the same for any order of them."""
    return _mean([score.quality for score in scores])


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def group_means(scores: Sequence[PromptScore], key: Callable[[PromptScore], str]) -> dict[str, float]:
    """Mean quality of the prompts that share a key (their group or kind), keys in alphabetical order."""
    keys = sorted({key(score) for score in scores})
    return {name: mean_quality(score for score in scores if key(score) == name) for name in keys}


def breakdown(scores: Sequence[PromptScore]) -> dict[str, float]:
    """Figures of one contender under stable names that MLflow accepts.

    `eval/quality`, `eval/<part>`, `eval/perplexity`, `eval/precision`, `eval/recall`, `eval/chrf`, `eval/chars`,
    `eval/seconds` (means a prompt), `eval/num_prompts`, `eval/broken` and `eval/broken/<hard gate>` (numbers of
    prompts), `eval/<group>/quality` and `eval/kind/<kind>/quality`. All but `eval/<group>/quality` and the broken are
    of the prompts that a gain is measured on. Nothing for no scores.
    """
    every = scores
    scores = [score for score in every if score.group in MEASURED_GROUPS]
    if not scores:
        return {}
    from nabi.evaluation.metrics.likelihood import perplexity

    parts = {f"eval/{name}": _mean([s.parts[name] for s in scores]) for name in PARTS if name in scores[0].parts}
    figures = {name: [score.details[name] for score in scores if name in score.details] for name in _REPORTED}
    return {
        "eval/quality": mean_quality(scores),
        **parts,
        **{f"eval/{name}": _mean(values) for name, values in figures.items() if values},
        "eval/perplexity": perplexity(
            [score.details["reference_logprob"] for score in scores],
            [int(score.details["reference_tokens"]) for score in scores],
        ),
        "eval/num_prompts": float(len(scores)),
        "eval/broken": float(sum(bool(score.broken) for score in every)),
        **{f"eval/broken/{gate}": float(sum(gate in score.broken for score in every)) for gate in HARD_GATES},
        **{f"eval/{group}/quality": mean for group, mean in group_means(every, lambda s: s.group).items()},
        **{f"eval/kind/{_slug(kind)}/quality": mean for kind, mean in group_means(scores, lambda s: s.kind).items()},
    }


_REPORTED = ("precision", "recall", "chrf", "chars", "seconds")


def _slug(kind: str) -> str:
    """A kind as part of an MLflow metric name: letters, digits, dashes and dots."""
    return re.sub(r"[^\w.-]+", "-", kind)
