"""What our own adapter answered is no truth to learn from, unless a person said that it was good.

Learning from one's own output again and again narrows a model and carves its mistakes in. Answers of people and
catalogue dialogues carry no adapter version and are not judged here.
"""

from __future__ import annotations

from nabi.conversations.records import Conversation
from nabi.curation.verdict import KEPT, Filter, Kept, Refused

REASON = "own answer"


def own_answer_filter(min_feedback: float) -> Filter:
    """Refuses answers of an adapter without feedback of at least `min_feedback`."""

    def check_own_answer(conversation: Conversation) -> Kept | Refused:
        if conversation.adapter_version is None:
            return KEPT
        if conversation.feedback is None:
            return Refused(REASON, f"{conversation.adapter_version} answered, and nobody said that it was good")
        if conversation.feedback < min_feedback:
            seen = f"feedback {conversation.feedback:g}, needs {min_feedback:g}"
            return Refused(REASON, f"{conversation.adapter_version} answered; {seen}")
        return KEPT

    return check_own_answer
