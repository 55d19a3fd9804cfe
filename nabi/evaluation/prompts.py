"""The questions that champion and candidate both answer, and what each of them shows a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nabi.conversations.records import Frozen
from nabi.datasets.overlap import ensure_apart
from nabi.datasets.samples import Sample, chat_messages
from nabi.datasets.split import place_of
from nabi.errors import DataError
from nabi.personas.model import Persona

MEASURED_GROUPS = ("anchor", "holdout")
"""The groups that a gain is measured on; every other group is the set of an earlier deployment."""

LEAST_OLDER = 20
"""Prompts that an older set must have before a loss on it says anything: what is fewer joins the next deployment's."""


class EvalPrompt(Frozen):
    """One question with its facts and its reference answer.

    Attributes:
        group: `anchor` prompts are frozen: every candidate of the persona meets them. `holdout` prompts come from the
            newest conversations that training never saw. `v3` and the like are those that the deployment of v3 was
            measured on, and show what a candidate forgets.
    """

    sample: Sample
    group: str

    @property
    def kind(self) -> str:
        return self.sample.kind or "other"


def collect_prompts(
    anchors: Sequence[Sample], holdout: Sequence[Sample], older: Mapping[str, Sequence[Sample]] | None = None
) -> list[EvalPrompt]:
    """Anchors first, then the held-out samples that are not anchors already, then older sets; each sample once.

    Raises:
        DataError: a sample has no reference answer, or belongs to another persona than the rest.
    """
    prompts: dict[str, EvalPrompt] = {}
    for group, samples in {"anchor": anchors, "holdout": holdout, **(older or {})}.items():
        for sample in samples:
            prompts.setdefault(sample.sample_id, EvalPrompt(sample=sample, group=group))
    collected = list(prompts.values())
    for prompt in collected:
        _check(prompt.sample, collected[0].sample.persona_id)
    return collected


def without_near_copies(
    prompts: Sequence[EvalPrompt], train: Sequence[Sample], similarity: float
) -> tuple[list[EvalPrompt], list[EvalPrompt]]:
    """The prompts that tell something, and those that training has nearly: what was learned by heart proves nothing.

    Args:
        similarity: Jaccard similarity of question, answer and facts (`nabi.curation.fingerprints`) of a near copy.

    Raises:
        DataError: a prompt is in train word for word, which the building of a dataset rules out.
    """
    from nabi.curation.fingerprints import fingerprints

    ensure_apart(train, [prompt.sample for prompt in prompts])
    if not train or not prompts:
        return list(prompts), []
    learned = fingerprints(train).signatures
    asked = fingerprints([prompt.sample for prompt in prompts]).signatures
    nearest = [float((learned == signature).mean(axis=1).max()) for signature in asked]
    told = [prompt for prompt, likeness in zip(prompts, nearest, strict=True) if likeness < similarity]
    return told, [prompt for prompt, likeness in zip(prompts, nearest, strict=True) if likeness >= similarity]


def older_sets(
    held_out: Sequence[Sample], deployed_by: Mapping[str, int], *, most_sets: int, most_prompts: int
) -> dict[str, list[Sample]]:
    """The held-out samples that earlier deployments were measured on, newest deployment first, by `v` and its number.

    Args:
        held_out: those that are not new.
        deployed_by: number of the adapter version whose deployment used a conversation up, by conversation id.
        most_sets: the newest so many.
        most_prompts: of each, always the same ones.
    """
    by_version: dict[int, list[Sample]] = {}
    for sample in held_out:
        if sample.conversation_id in deployed_by:
            by_version.setdefault(deployed_by[sample.conversation_id], []).append(sample)
    sets: dict[str, list[Sample]] = {}
    waiting: list[Sample] = []
    for number in sorted(by_version):
        waiting += by_version[number]
        if len(waiting) >= LEAST_OLDER:
            sets[f"v{number}"], waiting = waiting, []
    newest = list(sets.items())[::-1][:most_sets]
    return {name: sorted(samples, key=_place)[:most_prompts] for name, samples in newest}


def _place(sample: Sample) -> tuple[int, str]:
    return place_of(sample.conversation_id, "older"), sample.sample_id


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
