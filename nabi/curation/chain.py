"""All filters in order, and the count of what each of them set apart.

Conversations stream through in blocks, and nothing but fingerprints and counts of fixed size stays behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from nabi.conversations.records import Conversation
from nabi.curation.collector import collector_paused
from nabi.curation.completeness import check_completeness
from nabi.curation.consent import check_consent
from nabi.curation.contamination import contamination_filter
from nabi.curation.injection import check_injection
from nabi.curation.memory import Memory
from nabi.curation.own_answers import own_answer_filter
from nabi.curation.ownership import ownership_filter
from nabi.curation.privacy import Mask, masker_for
from nabi.curation.quality import quality_filter
from nabi.curation.released import NOTHING_RELEASED, Released, is_overruled
from nabi.curation.safety import safety_filter
from nabi.curation.style_model import StyleModel
from nabi.curation.texts import Texts
from nabi.curation.verdict import BlockFilter, Filter, Refused
from nabi.curation.words import forbidden_words_filter
from nabi.personas.model import Persona

BLOCK = 1_024
"""Conversations that are looked at together: what is planted is sought among so many new ones at a time."""


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


@dataclass(frozen=True)
class Chain:
    """A persona's filters in the order in which they judge; the first refusal is the reason."""

    before_reading: tuple[Filter, ...]
    """Consent is among the first, so that nothing ever looks into what was said without it."""
    mask: Mask
    reading: tuple[Filter, ...]
    reading_blocks: tuple[BlockFilter, ...]


def chain_for(persona: Persona, style: StyleModel | None = None) -> Chain:
    """The filters that look at each conversation by itself."""
    rules = persona.curation
    by_style = contamination_filter(style, persona.id)
    return Chain(
        before_reading=(
            ownership_filter(persona.id),
            check_consent,
            check_completeness,
            safety_filter(rules.harmless_flags),
            own_answer_filter(rules.min_own_feedback),
        ),
        mask=masker_for(persona),
        reading=(forbidden_words_filter(persona.style.forbidden),),
        reading_blocks=(check_injection, quality_filter(persona), *([by_style] if by_style else [])),
    )


def curate(
    conversations: Iterable[Conversation],
    persona: Persona,
    released: Released = NOTHING_RELEASED,
    *,
    learned: Iterable[Conversation] = (),
    style: StyleModel | None = None,
) -> Curated:
    """Sets apart, with a reason, what the persona may not or should not learn from.

    Args:
        conversations: new ones, in the order of their time.
        released: what a person looked through and let go, by conversation: the reasons that no longer hold.
        learned: what the persona's datasets hold already, for comparison.
        style: tells the personas' voices apart; None: not judged.
    """
    memory = Memory(persona)
    for block in _blocks(learned):
        memory.remember(block)
    return _gather(curate_stream(conversations, persona, memory, released, style))


def recheck(conversations: Iterable[Conversation], persona: Persona, released: Released = NOTHING_RELEASED) -> Curated:
    """Looks again at what was learned before: each conversation by itself, its consent above all.

    What others said since then does not put it in doubt: what was learned once stays, or the dataset would flicker.
    """
    return _gather(_judge_stream(conversations, chain_for(persona), None, released))


def curate_stream(
    conversations: Iterable[Conversation],
    persona: Persona,
    memory: Memory,
    released: Released = NOTHING_RELEASED,
    style: StyleModel | None = None,
) -> Iterator[Conversation | Refusal]:
    """The same one by one: each conversation as it may be learned, or its refusal, in order, in flat memory."""
    return _judge_stream(conversations, chain_for(persona, style), memory, released)


def _judge_stream(
    conversations: Iterable[Conversation], chain: Chain, memory: Memory | None, released: Released
) -> Iterator[Conversation | Refusal]:
    for block in _blocks(conversations):
        with collector_paused():
            outcomes = _judge_block(block, chain, memory, released)
        yield from outcomes


def _judge_block(
    block: list[Conversation], chain: Chain, memory: Memory | None, released: Released
) -> list[Conversation | Refusal]:
    readable = list(block)
    verdicts: dict[int, Refused] = {}
    for row, conversation in enumerate(block):
        readable[row], refused = _judge_alone(conversation, chain, released)
        if refused is not None:
            verdicts[row] = refused
    rows = [row for row in range(len(block)) if row not in verdicts]
    texts = Texts.of([readable[row] for row in rows])
    for judge in chain.reading_blocks:
        for place, refused in judge(texts).items():
            if not is_overruled(refused, readable[rows[place]], released):
                verdicts.setdefault(rows[place], refused)
    if memory is not None:
        rows = [row for row in rows if row not in verdicts]
        found = memory.judge([readable[row] for row in rows], released)
        verdicts |= {rows[place]: refused for place, refused in found.items()}
    return [
        Refusal(conversation, refused.reason, refused.detail) if (refused := verdicts.get(row)) else readable[row]
        for row, conversation in enumerate(block)
    ]


def _judge_alone(conversation: Conversation, chain: Chain, released: Released) -> tuple[Conversation, Refused | None]:
    """What one conversation by itself tells: masked, and its first refusal that nobody overruled."""
    for judge in chain.before_reading:
        verdict = judge(conversation)
        if isinstance(verdict, Refused) and not is_overruled(verdict, conversation, released):
            return conversation, verdict
    masked, doubt = chain.mask(conversation)
    if doubt is not None and not is_overruled(doubt, conversation, released):
        return masked, doubt
    for judge in chain.reading:
        verdict = judge(masked)
        if isinstance(verdict, Refused) and not is_overruled(verdict, conversation, released):
            return masked, verdict
    return masked, None


def _gather(outcomes: Iterable[Conversation | Refusal]) -> Curated:
    kept: list[Conversation] = []
    refused: list[Refusal] = []
    for outcome in outcomes:
        if isinstance(outcome, Refusal):
            refused.append(outcome)
        else:
            kept.append(outcome)
    return Curated(tuple(kept), tuple(refused))


def _blocks(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    remaining = iter(conversations)
    while True:
        with collector_paused():
            block = list(islice(remaining, BLOCK))
        if not block:
            return
        yield block
