"""Opt-in only: nothing is learned from a person who did not say yes before speaking, or who took it back."""

from __future__ import annotations

from nabi.conversations.records import Conversation
from nabi.curation.verdict import KEPT, Kept, Refused

REASON = "consent"


def check_consent(conversation: Conversation) -> Kept | Refused:
    """Refuses what the person, or a child's guardian, does not allow. Catalogue dialogues have no person in them."""
    if conversation.source == "bootstrap":
        return KEPT
    consent = conversation.consent
    if not consent.training:
        return Refused(REASON, "no consent to training")
    if consent.guardian is False:
        return Refused(REASON, "the guardian did not agree")
    if consent.withdrawn_at is not None:
        return Refused(REASON, f"withdrawn at {consent.withdrawn_at:%Y-%m-%d %H:%M} UTC")
    if not consent.allows_training_at(conversation.occurred_at):
        return Refused(REASON, f"given only at {consent.given_at:%Y-%m-%d %H:%M} UTC, after the conversation")
    return KEPT
