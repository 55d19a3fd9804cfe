"""Which bad answers may serve as negative examples (requirement C14): those with nothing against them but themselves.

A bad answer is never imitated. It is looked at once more for everything that speaks of its conversation and not of the
answer: whose it is, consent, flags, personal data, orders to the training, copies, what looks planted, floods. Only how
good the answer is does not count, since that is what it is there for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nabi.conversations.records import Conversation
from nabi.curation.chain import BLOCK, Chain, Refusal, judge_with
from nabi.curation.completeness import check_completeness
from nabi.curation.consent import check_consent
from nabi.curation.injection import check_injection
from nabi.curation.memory import Memory
from nabi.curation.ownership import ownership_filter
from nabi.curation.privacy import masker_for
from nabi.curation.released import Released
from nabi.curation.safety import safety_filter
from nabi.personas.model import Persona


def disliked_answers(
    refused: Iterable[Refusal], persona: Persona, kept: Sequence[Conversation], released: Released
) -> list[Conversation]:
    """Refused conversations whose answer was marked bad, as they may be learned from, oldest first.

    Users mark them, and many users together could unteach what is good. So they are compared with what is kept as if
    they were to join it: an answer that is kept elsewhere, one user's or one wording's flood, and what looks planted
    teach nothing.

    Args:
        refused: by the curation of what is learned; among them what is below `curation.bad_feedback` counts.
        kept: what the persona learns from.
        released: as in `curate`.
    """
    limit = persona.curation.bad_feedback
    marked = [item.conversation for item in refused if _below(item.conversation.feedback, limit)]
    if not marked:
        return []
    memory = Memory(persona)
    for start in range(0, len(kept), BLOCK):
        memory.remember(kept[start : start + BLOCK])
    marked.sort(key=lambda conversation: (conversation.occurred_at, conversation.conversation_id))
    return _allowed(marked, persona, memory, released)


def replaced_answers(
    replaced: Mapping[str, Sequence[Conversation]], persona: Persona, kept: Iterable[Conversation], released: Released
) -> list[tuple[Conversation, str]]:
    """Conversations as they were before a person wrote a better answer, and that answer as it is learned.

    Args:
        replaced: conversation id → what was held under it before.
        kept: what the persona learns from; a better answer that curation refused takes its pair along.
    """
    pairs = []
    for better in kept:
        former = [
            old.model_copy(update={"consent": better.consent, "basis": better.basis})
            for old in replaced.get(better.conversation_id, ())
        ]
        answer = better.messages[-1].content
        pairs += [
            (bad, answer)
            for bad in (_allowed(former, persona, None, released) if former else ())
            if bad.messages[-1].content != answer
        ]
    return pairs


def _allowed(
    marked: Sequence[Conversation], persona: Persona, memory: Memory | None, released: Released
) -> list[Conversation]:
    return list(judge_with(_chain(persona), marked, memory, released).kept)


def _chain(persona: Persona) -> Chain:
    return Chain(
        before_reading=(
            ownership_filter(persona.id),
            check_consent,
            check_completeness,
            safety_filter(persona.curation.harmless_flags),
        ),
        mask=masker_for(persona),
        reading=(),
        reading_blocks=(check_injection,),
    )


def _below(feedback: float | None, limit: float) -> bool:
    return feedback is not None and feedback < limit
