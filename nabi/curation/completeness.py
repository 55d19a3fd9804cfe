"""A conversation can be learned from when it ends with an answer to a question."""

from __future__ import annotations

from nabi.conversations.records import Conversation
from nabi.curation.verdict import KEPT, Kept, Refused

REASON = "incomplete"


def check_completeness(conversation: Conversation) -> Kept | Refused:
    """Refuses what does not end with a user's turn and the assistant's answer to it, both with words in them."""
    turns = [message for message in conversation.messages if message.role != "system"]
    if len(turns) < 2:
        return Refused(REASON, f"only {len(turns)} turns")
    question, answer = turns[-2:]
    if (question.role, answer.role) != ("user", "assistant"):
        return Refused(REASON, f"ends with {question.role} → {answer.role}, not user → assistant")
    for message in (question, answer):
        if not message.content.strip():
            return Refused(REASON, f"the last {message.role} turn is empty")
    return KEPT
