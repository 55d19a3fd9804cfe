"""Masking as a step before the curation filters, and the filter for what masking leaves to a person.

    conversations = (mask_conversation(conversation) for conversation in conversations)   # changes
    curate(conversations, persona)                                                         # judges

The order matters: the filter looks at what is still there after masking.
"""

from __future__ import annotations

from collections.abc import Collection

from nabi.conversations.records import Conversation, Fact, Message
from nabi.curation.pii.mask import Doubt, Masked, mask
from nabi.curation.verdict import KEPT, Filter, Kept, Refused

REASON = "pii"


def mask_conversation(conversation: Conversation, public: Collection[str] = ()) -> Conversation:
    """The same conversation without personal data in what was said and in the retrieved items.

    Names, addresses and landline numbers that stand in the retrieved items are the shops' own and stay. `public` are
    further texts that are no secrets, such as the persona's name. System messages are nabi's own words and stay too.
    """
    facts = tuple(_mask_fact(fact, public) for fact in conversation.facts)
    entries = (*public, *(value for fact in facts for value in fact.values()))
    messages = tuple(_mask_message(message, entries) for message in conversation.messages)
    if messages == conversation.messages and facts == conversation.facts:
        return conversation
    return conversation.model_copy(update={"messages": messages, "facts": facts})


def doubtful_pii_filter(public: Collection[str] = ()) -> Filter:
    """Refuses what holds a long or spelled number that nothing explains, or personal data that were not masked.

    `public` as for `mask_conversation`. The detail tells what and where, never the number itself.
    """

    def check_pii(conversation: Conversation) -> Kept | Refused:
        values = tuple(value for fact in conversation.facts for value in fact.values())
        for value in values:
            if doubtful := mask(value, (value,)).doubtful:
                return Refused(REASON, f"{_described(doubtful[0])} in a retrieved item")
        for place, message in enumerate(conversation.messages):
            if message.role == "system":
                continue
            masked = mask(message.content, (*public, *values))
            if masked.doubtful or masked.found:
                return Refused(REASON, f"{_seen(masked)} in turn {place + 1} ({message.role})")
        return KEPT

    return check_pii


def _seen(masked: Masked) -> str:
    """What was seen, without quoting it."""
    if masked.doubtful:
        return _described(masked.doubtful[0])
    return f"{masked.found[0].kind} that was not masked"


def _described(doubt: Doubt) -> str:
    return f"{doubt.reason} of {doubt.end - doubt.start} signs"


def _mask_message(message: Message, public: Collection[str]) -> Message:
    if message.role == "system":
        return message
    masked = mask(message.content, public)
    return message.model_copy(update={"content": masked.text}) if masked.found else message


def _mask_fact(fact: Fact, public: Collection[str]) -> Fact:
    """What no shop entry needs goes; its name, address and landline are there to be read."""
    return {label: mask(value, (*public, value)).text for label, value in fact.items()}
