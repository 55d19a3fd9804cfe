"""What its own system flagged as unsafe is looked at by a person before anything learns from it."""

from __future__ import annotations

from collections.abc import Collection

from nabi.conversations.records import Conversation
from nabi.curation.verdict import KEPT, Filter, Kept, Refused

REASON = "safety flag"


def safety_filter(harmless: Collection[str]) -> Filter:
    """Refuses conversations with a safety flag that is not among the harmless ones."""

    def check_flags(conversation: Conversation) -> Kept | Refused:
        flags = [flag for flag in conversation.safety_flags if flag.lower() not in harmless]
        return Refused(REASON, ", ".join(flags)) if flags else KEPT

    return check_flags
