"""Personal data leave a conversation before anything looks at it, counts it or learns from it (requirement C3).

What is surely personal becomes a placeholder; what is doubtful sets the conversation apart. The masked conversation
takes the place of the stored one from here on.
"""

from __future__ import annotations

from collections.abc import Callable

from nabi.conversations.records import Conversation
from nabi.curation.pii.conversation import REASON, doubtful_pii_filter, mask_conversation
from nabi.curation.pii.prefilter import needs_look
from nabi.curation.verdict import Refused
from nabi.personas.model import Persona

__all__ = ["REASON", "masker_for"]

Mask = Callable[[Conversation], tuple[Conversation, Refused | None]]


def masker_for(persona: Persona) -> Mask:
    """Makes the function that gives each conversation without personal data, and its refusal if doubts are left."""
    public = (persona.name,)
    check_doubts = doubtful_pii_filter(public)

    def mask(conversation: Conversation) -> tuple[Conversation, Refused | None]:
        if conversation.source == "bootstrap" or not needs_look(_all_texts(conversation)):
            return conversation, None
        masked = mask_conversation(conversation, public)
        verdict = check_doubts(masked)
        return masked, verdict if isinstance(verdict, Refused) else None

    return mask


def _all_texts(conversation: Conversation) -> str:
    """One text in which the prefilter misses nothing that it would see in a part (a test holds that)."""
    said = (message.content for message in conversation.messages)
    shown = (value for fact in conversation.facts for value in fact.values())
    return "\n".join([*said, *shown])
