"""Personal data leave a conversation before anything looks at it, counts it or learns from it (requirement C3).

What is surely personal becomes a placeholder; what is doubtful sets the conversation apart. The masked conversation
takes the place of the stored one from here on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nabi.conversations.records import Conversation
from nabi.curation.pii.conversation import doubtful_pii_filter, mask_conversation
from nabi.curation.pii.prefilter import which_need_a_look
from nabi.curation.verdict import Refused
from nabi.personas.model import Persona


@dataclass(frozen=True, slots=True)
class MaskedBlock:
    """The conversations without personal data, in order, and by place those in which something doubtful is left."""

    conversations: list[Conversation]
    doubtful: dict[int, Refused]


Mask = Callable[[Sequence[Conversation]], MaskedBlock]


def masker_for(persona: Persona) -> Mask:
    """Makes the function that masks a block. Catalogue dialogues have no person in them and are left alone."""
    public = (persona.name,)
    check_doubts = doubtful_pii_filter(public)

    def mask(conversations: Sequence[Conversation]) -> MaskedBlock:
        masked, doubtful = list(conversations), {}
        for row in which_need_a_look([_all_texts(conversation) for conversation in conversations]):
            if masked[row].source != "bootstrap":
                masked[row] = mask_conversation(masked[row], public)
                verdict = check_doubts(masked[row])
                if isinstance(verdict, Refused):
                    doubtful[row] = verdict
        return MaskedBlock(masked, doubtful)

    return mask


def _all_texts(conversation: Conversation) -> str:
    """One text in which the prefilter misses nothing that it would see in a part (a test holds that)."""
    texts = [message.content for message in conversation.messages]
    for fact in conversation.facts:
        texts += fact.values()
    return "\n".join(texts)
