"""Words that a persona must never say are not to be learned either."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nabi.conversations.records import Conversation
from nabi.curation.verdict import KEPT, Filter, Kept, Refused, answers_of

REASON = "forbidden words"


def forbidden_words_filter(patterns: Sequence[str]) -> Filter:
    """Refuses conversations in which an answer holds one of the patterns (regular expressions).

    Users may say what they like: only answers are learned.
    """
    compiled = [re.compile(pattern) for pattern in patterns]

    def check_words(conversation: Conversation) -> Kept | Refused:
        for answer in answers_of(conversation):
            for pattern in compiled:
                if found := pattern.search(answer):
                    return Refused(REASON, f"{found.group()!r} in an answer")
        return KEPT

    return check_words
