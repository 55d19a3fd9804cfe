"""All filters in order, and the count of what each of them set apart.

Conversations stream through in blocks, and nothing but fingerprints and counts of fixed size stays behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from nabi.collector import collector_paused
from nabi.conversations.records import Conversation
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
from nabi.curation.verdict import KEPT, BlockFilter, Filter, Kept, Refused
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
    return judge_with(chain_for(persona), conversations, None, released)


def curate_stream(
    conversations: Iterable[Conversation],
    persona: Persona,
    memory: Memory,
    released: Released = NOTHING_RELEASED,
    style: StyleModel | None = None,
) -> Iterator[Conversation | Refusal]:
    """The same one by one: each conversation as it may be learned, or its refusal, in order, in flat memory."""
    return _judge_stream(conversations, chain_for(persona, style), memory, released)


def judge_with(
    chain: Chain, conversations: Iterable[Conversation], memory: Memory | None, released: Released
) -> Curated:
    """The same with filters of one's own; without a memory each conversation is judged by itself."""
    return _gather(_judge_stream(conversations, chain, memory, released))


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
    state = _Block(list(block), {}, released)
    for judge in chain.before_reading:
        state.judge_each(judge)
    rows = state.rows_left()
    masked = chain.mask([block[row] for row in rows])
    for row, conversation in zip(rows, masked.conversations, strict=True):
        state.readable[row] = conversation
    state.refuse(rows, masked.doubtful)
    for judge in chain.reading:
        state.judge_each(judge)
    rows = state.rows_left()
    texts = Texts.of([state.readable[row] for row in rows])
    for judge_block in chain.reading_blocks:
        state.refuse(rows, judge_block(texts))
    if memory is not None:
        rows = state.rows_left()
        state.refuse(rows, memory.judge([state.readable[row] for row in rows], released))
    return [
        Refusal(conversation, refused.reason, refused.detail)
        if (refused := state.refused.get(row))
        else state.readable[row]
        for row, conversation in enumerate(block)
    ]


@dataclass(slots=True)
class _Block:
    """Conversations on their way through the chain: as they may be read, and the first refusal of each, by place."""

    readable: list[Conversation]
    refused: dict[int, Refused]
    released: Released

    def rows_left(self) -> list[int]:
        return [row for row in range(len(self.readable)) if row not in self.refused]

    def judge_each(self, judge: Filter) -> None:
        for row, conversation in enumerate(self.readable):
            if row not in self.refused and (verdict := judge(conversation)) is not KEPT:
                self.refuse([row], {0: verdict})

    def refuse(self, rows: Sequence[int], verdicts: Mapping[int, Kept | Refused]) -> None:
        """Takes verdicts over the given rows, but for those that were refused before or that a person overruled."""
        for place, verdict in verdicts.items():
            row = rows[place]
            if isinstance(verdict, Refused) and not is_overruled(verdict, self.readable[row], self.released):
                self.refused.setdefault(row, verdict)


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
