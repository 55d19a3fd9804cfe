"""The questions that champion and candidate both answer, and what each of them shows a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nabi.conversations.records import Frozen
from nabi.datasets.samples import Sample, chat_messages
from nabi.errors import DataError
from nabi.personas.model import Persona

Group = Literal["anchor", "holdout"]


class EvalPrompt(Frozen):
    """One question with its facts and its reference answer.

    `anchor` prompts are frozen: every candidate of the persona meets them. `holdout` prompts come from the newest
    conversations that training never saw.
    """

    sample: Sample
    group: Group

    @property
    def kind(self) -> str:
        return self.sample.kind or "other"


def collect_prompts(anchors: Sequence[Sample], holdout: Sequence[Sample]) -> list[EvalPrompt]:
    """Anchors first, then the held-out samples that are not anchors already; each sample once, order kept.

    Raises:
        DataError: a sample has no reference answer, or belongs to another persona than the rest.
    """
    prompts: dict[str, EvalPrompt] = {}
    for anchor in anchors:
        prompts.setdefault(anchor.sample_id, EvalPrompt(sample=anchor, group="anchor"))
    for sample in holdout:
        prompts.setdefault(sample.sample_id, EvalPrompt(sample=sample, group="holdout"))
    collected = list(prompts.values())
    for prompt in collected:
        _check(prompt.sample, collected[0].sample.persona_id)
    return collected


def _check(sample: Sample, persona_id: str) -> None:
    where = f"evaluation sample {sample.sample_id}"
    if not sample.answer.strip() or sample.messages[-1].role != "assistant":
        raise DataError("there is no reference answer to compare with.", where=where, fix="End it with the assistant.")
    if sample.persona_id != persona_id:
        what = f"it belongs to {sample.persona_id}, the set to {persona_id}."
        raise DataError(what, where=where, fix="Evaluate one persona at once.")


def prompt_messages(persona: Persona, prompt: EvalPrompt) -> list[dict[str, str]]:
    """What the model sees: the system message with the facts, the turns, and not the reference answer."""
    facts = prompt.sample.facts if persona.uses_facts else None
    return chat_messages(persona.system_prompt, prompt.sample.messages[:-1], facts)


def given_text(messages: Sequence[dict[str, str]]) -> str:
    """All that a model was shown, as one text: what an answer may repeat without inventing anything."""
    return "\n".join(message["content"] for message in messages)
