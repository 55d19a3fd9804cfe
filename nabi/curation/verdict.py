"""What a filter says about a conversation: kept, or refused with a reason that can be counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nabi.conversations.records import Conversation
from nabi.curation.texts import Texts


@dataclass(frozen=True, slots=True)
class Kept:
    """The filter has nothing against it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Set apart. `reason` is one of few words, to be counted; `detail` says what was seen."""

    reason: str
    detail: str


KEPT = Kept()

Filter = Callable[[Conversation], Kept | Refused]
"""Pure: the same conversation always gets the same answer."""

BlockFilter = Callable[[Texts], Mapping[int, Refused]]
"""A filter that looks into the texts of many conversations at once: the refused ones by their place. Pure too, and
what it says of one conversation does not depend on the others in the block."""


def answers_of(conversation: Conversation) -> list[str]:
    """All the assistant's turns: training learns from every one of them, so every one is examined."""
    return [message.content for message in conversation.messages if message.role == "assistant"]


def given_in(conversation: Conversation) -> str:
    """All that the assistant was asked and shown."""
    asked = (message.content for message in conversation.messages if message.role == "user")
    shown = (value for fact in conversation.facts for value in fact.values())
    return "\n".join([*asked, *shown])
