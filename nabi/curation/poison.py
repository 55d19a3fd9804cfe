"""What looks planted: new phrases that a few users bring with one answer, and topics that jump up out of nothing (X5).

Both are doubtful, not certain: what is found is set apart for a person. Sources that the persona trusts (operators)
bring new topics by right, and what many users begin to ask about is news, not poison. Nothing is judged before the
persona has a history to compare with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from nabi.conversations.records import Conversation
from nabi.curation.phrases import Phrases, phrases_of
from nabi.curation.verdict import Refused
from nabi.personas.model import Curation

TRIGGER, JUMP = "possible trigger phrase", "sudden jump of a topic"

RARE = 0.002
"""Share of the history below which a phrase counts as absent: one slip of the pen is no history."""

_NOT_LETTERS = re.compile(r"[\W\d_]+")
_CENTRES = 5
_NUM_COUNTS = 2**21
_MAX_KINDS = 1_000
"""Topics that are counted by name; a log with more of them names no topics."""


class History:
    """How often each phrase and each topic was there before: counts by hash in a table of fixed size."""

    def __init__(self, rules: Curation) -> None:
        self._rules = rules
        self._phrases: NDArray[np.int32] = np.zeros(_NUM_COUNTS, dtype=np.int32)
        self._kinds: Counter[str] = Counter()
        self._num_rows = 0

    def judge(self, conversations: Sequence[Conversation]) -> dict[int, Refused]:
        """What looks planted, by place; all others become part of the history."""
        if not conversations:
            return {}
        trusted = self._rules.trusted_sources
        doubted = np.array([item.source not in trusted for item in conversations], dtype=np.bool_)
        phrases = phrases_of(conversations)
        refused: dict[int, Refused] = {}
        if self._num_rows >= self._rules.min_history:
            refused = self._jumps(conversations, doubted) | self._triggers(conversations, phrases, doubted)
        kept = np.ones(len(conversations), dtype=np.bool_)
        kept[list(refused)] = False
        self._learn(conversations, phrases, kept)
        return refused

    def remember(self, conversations: Sequence[Conversation]) -> None:
        """Takes note of conversations without judging them."""
        if conversations:
            self._learn(conversations, phrases_of(conversations), np.ones(len(conversations), dtype=np.bool_))

    def _learn(self, conversations: Sequence[Conversation], phrases: Phrases, kept: NDArray[np.bool_]) -> None:
        np.add.at(self._phrases, _places(phrases.hashes[kept[phrases.rows]]), 1)
        rows = np.flatnonzero(kept).tolist()
        kinds = Counter(kind for row in rows if (kind := conversations[row].kind))
        has_room = len(self._kinds) < _MAX_KINDS
        self._kinds.update({kind: num for kind, num in kinds.items() if has_room or kind in self._kinds})
        self._num_rows += len(rows)

    def _triggers(
        self, conversations: Sequence[Conversation], phrases: Phrases, doubted: NDArray[np.bool_]
    ) -> dict[int, Refused]:
        """Rows with a phrase that is frequent now, was absent before, and always comes with the same answer.

        The same answer from a few users, or word for word the same from anybody.
        """
        least = max(self._rules.trigger_rows, int(doubted.sum()) // 200)
        asked = np.flatnonzero(doubted[phrases.rows])
        values, counts = np.unique(phrases.hashes[asked], return_counts=True)
        is_new = self._phrases[_places(values)] <= RARE * self._num_rows
        refused: dict[int, Refused] = {}
        for value in values[(counts >= least) & is_new].tolist():
            places = asked[phrases.hashes[asked] == np.uint64(value)]
            phrase = phrases.text(places[0])
            holding = dict.fromkeys(phrases.rows[places].tolist())
            rows = [row for row in holding if not _is_given(phrase, conversations[row])]
            if len(rows) >= least and self._looks_planted([conversations[row] for row in rows]):
                seen = f"{phrase!r} is new in {len(rows)} conversations with one answer"
                for row in rows:
                    refused.setdefault(row, Refused(TRIGGER, seen))
        return refused

    def _looks_planted(self, conversations: Sequence[Conversation]) -> bool:
        wanted = self._rules.same_answer_share * len(conversations)
        if _num_users(conversations) <= self._rules.trigger_users:
            return _most_alike([_runs(conversation) for conversation in conversations]) >= wanted
        # One answer for many is right where there are facts to answer from, and odd where it never varies without any.
        answers = Counter(item.messages[-1].content for item in conversations if not item.facts)
        return bool(answers) and answers.most_common(1)[0][1] >= wanted

    def _jumps(self, conversations: Sequence[Conversation], doubted: NDArray[np.bool_]) -> dict[int, Refused]:
        """Rows of a topic whose share grew many times over, brought by a few users."""
        rows_of: dict[str, list[int]] = {}
        for row in np.flatnonzero(doubted).tolist():
            if kind := conversations[row].kind:
                rows_of.setdefault(kind, []).append(row)
        refused: dict[int, Refused] = {}
        for kind, rows in rows_of.items():
            share, before = len(rows) / len(conversations), self._kinds[kind] / self._num_rows
            num_users = _num_users([conversations[row] for row in rows])
            few = num_users <= max(self._rules.trigger_users, len(rows) // 10)
            if len(rows) >= self._rules.jump_rows and few and share > max(0.1, self._rules.jump_factor * before):
                seen = f"{kind!r} went from {before:.1%} to {share:.1%}, by {num_users} users"
                refused |= {row: Refused(JUMP, seen) for row in rows}
        return refused


def _num_users(conversations: Sequence[Conversation]) -> int:
    """Whoever is unknown counts as somebody of his own: nothing shows that they are few."""
    known = {conversation.user_key for conversation in conversations} - {None}
    return len(known) + sum(conversation.user_key is None for conversation in conversations)


def _is_given(phrase: str, conversation: Conversation) -> bool:
    """Names out of the facts (a new shop) are no triggers."""
    return any(phrase in value.lower() for fact in conversation.facts for value in fact.values())


def _runs(conversation: Conversation) -> set[str]:
    """Runs of three letters of an answer, without what the facts gave it."""
    answer = conversation.messages[-1].content
    for value in chain.from_iterable(fact.values() for fact in conversation.facts):
        answer = answer.replace(value, "")
    letters = _NOT_LETTERS.sub("", answer)
    return {letters[start : start + 3] for start in range(len(letters) - 2)}


def _most_alike(answers: Sequence[set[str]]) -> int:
    """How many answers share half of their runs with one of the first few, the most that one has."""
    return max(sum(2 * len(one & other) >= len(one | other) for other in answers) for one in answers[:_CENTRES])


def _places(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (hashes % np.uint64(_NUM_COUNTS)).astype(np.int64)
