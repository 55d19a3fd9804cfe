"""All filters in order, and the count of what each of them set apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from nabi.conversations.records import Conversation
from nabi.curation.completeness import check_completeness
from nabi.curation.consent import check_consent
from nabi.curation.injection import check_injection
from nabi.curation.quality import quality_filter
from nabi.curation.verdict import Filter, Refused
from nabi.curation.words import forbidden_words_filter
from nabi.personas.model import Persona


class Refusal(NamedTuple):
    """A conversation that was set apart."""

    conversation: Conversation
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Curated:
    """The conversations in their order, kept or refused."""

    kept: tuple[Conversation, ...]
    refused: tuple[Refusal, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many were kept, then how many were refused by reason, the most frequent first."""
        reasons = Counter(refusal.reason for refusal in self.refused)
        return {"kept": len(self.kept), **dict(reasons.most_common())}


def filters_for(persona: Persona) -> tuple[Filter, ...]:
    """The persona's filters in the order in which they judge; the first refusal is the reason.

    Consent comes first, so that nothing else ever looks into what was said without it.
    """
    return (
        check_consent,
        check_completeness,
        forbidden_words_filter(persona.style.forbidden),
        check_injection,
        quality_filter(persona),
    )


def curate(conversations: Iterable[Conversation], persona: Persona) -> Curated:
    """Sets apart, with a reason, what the persona may not or should not learn from."""
    filters = filters_for(persona)
    kept: list[Conversation] = []
    refused: list[Refusal] = []
    for conversation in conversations:
        refusal = _first_refusal(conversation, filters)
        if refusal is None:
            kept.append(conversation)
        else:
            refused.append(Refusal(conversation, refusal.reason, refusal.detail))
    return Curated(tuple(kept), tuple(refused))


def _first_refusal(conversation: Conversation, filters: tuple[Filter, ...]) -> Refused | None:
    for judge in filters:
        verdict = judge(conversation)
        if isinstance(verdict, Refused):
            return verdict
    return None
