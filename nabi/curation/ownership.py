"""Personas never learn from each other: a conversation is its own persona's and nobody else's (requirement C5)."""

from __future__ import annotations

from nabi.conversations.records import Conversation
from nabi.curation.verdict import KEPT, Filter, Kept, Refused

REASON = "other persona"


def ownership_filter(persona_id: str) -> Filter:
    """Refuses conversations of any other persona, whatever list they came in with."""

    def check_owner(conversation: Conversation) -> Kept | Refused:
        if conversation.persona_id == persona_id:
            return KEPT
        return Refused(REASON, f"belongs to {conversation.persona_id}, not to {persona_id}")

    return check_owner
