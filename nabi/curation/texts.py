"""The messages of a block of conversations, examined all at once: a thousand rows cost little more than one.

Every filter that looks into texts gets this. Searching one joined text for a word, or counting over one array of
characters, is what keeps the whole chain fast; each figure still belongs to one message only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from nabi.conversations.records import Conversation, Role
from nabi.curation.fingerprints import gram_hashes
from nabi.curation.hinted import HintedPattern, is_disguised, plain_text

_SPACE, _ALNUM, _LETTER, _HANGUL, _LATIN, _JAMO = 1, 2, 4, 8, 16, 32
_BREAK = "\0"
"""Between messages. The readers refuse it in texts, and nothing looked for holds it."""

_NUM_PAIRS, _PAIR_FACTOR = 2**20, 40_503
_GRAM = 4
_MIN_GRAMS = 8
"""As in `nabi.evaluation.answer_text.duplicate_share`, whose figure this is (a test holds them equal)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts for each message. `duplicates` is the share of character 4-grams that stood before in the message."""

    alnum: NDArray[np.int64]
    letters: NDArray[np.int64]
    hangul: NDArray[np.int64]
    latin: NDArray[np.int64]
    jamo: NDArray[np.int64]
    duplicates: NDArray[np.float64]


@dataclass(frozen=True)
class Texts:
    """All messages but the system's, in order. `rows[i]` is the conversation (its place) that message `i` is in."""

    conversations: Sequence[Conversation]
    contents: tuple[str, ...]
    roles: tuple[Role, ...]
    rows: tuple[int, ...]

    @classmethod
    def of(cls, conversations: Sequence[Conversation]) -> Texts:
        """The texts of complete conversations."""
        told = [
            (message.content, message.role, row)
            for row, conversation in enumerate(conversations)
            for message in conversation.messages
            if message.role != "system"
        ]
        contents, roles, rows = zip(*told, strict=True) if told else ((), (), ())
        return cls(conversations, contents, roles, rows)

    @cached_property
    def last(self) -> list[int]:
        """For each conversation its last message, the answer to learn; the one before it is the question."""
        places = dict(zip(self.rows, range(len(self.rows)), strict=True))
        return [places[row] for row in range(len(self.conversations))]

    @cached_property
    def plain(self) -> tuple[list[str], str]:
        """The messages as `plain_text` makes them, and all of them joined."""
        joined = _BREAK.join(self.contents)
        small = joined.lower()
        if len(small) != len(joined) or is_disguised(joined):
            texts = [plain_text(text) for text in self.contents]
            return texts, _BREAK.join(texts)
        return small.split(_BREAK) if self.contents else [], small

    def find(self, pattern: HintedPattern) -> dict[int, str]:
        """Messages that match, with what matches. Only those with one of the pattern's hints are tried."""
        texts, joined = self.plain
        tried: set[int] = set()
        for hint in pattern.hints:
            if self._may_hold(hint):
                tried.update(_holding(hint, joined, self._ends))
        found = ((message, pattern.find(texts[message])) for message in sorted(tried))
        return {message: match for message, match in found if match is not None}

    @cached_property
    def is_answer(self) -> NDArray[np.bool_]:
        """For each message whether the assistant said it."""
        return np.array([role == "assistant" for role in self.roles], dtype=np.bool_)

    @cached_property
    def _ends(self) -> list[int]:
        """Where each plain message ends in the joined text, the break behind it included."""
        return list(accumulate(len(text) + 1 for text in self.plain[0]))

    @cached_property
    def _pairs(self) -> NDArray[np.bool_]:
        """Which pairs of characters stand side by side somewhere: most hints are ruled out without a search."""
        codes = _codes_of(self.plain[1]).astype(np.int64)
        table = np.zeros(_NUM_PAIRS, dtype=np.bool_)
        table[(codes[:-1] * _PAIR_FACTOR + codes[1:]) & (_NUM_PAIRS - 1)] = True
        return table

    def _may_hold(self, hint: str) -> bool:
        pairs = self._pairs
        return all(pairs[(ord(one) * _PAIR_FACTOR + ord(two)) & (_NUM_PAIRS - 1)] for one, two in pairwise(hint))

    @cached_property
    def figures(self) -> Figures:
        return count_characters(self.contents)


def count_characters(texts: Sequence[str]) -> Figures:
    """The figures of any texts, at most 65,536 of them."""
    codes = _codes_of("".join(texts))
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)), out=starts[1:])
    kinds = _table()[np.minimum(codes, 0xFFFF)]
    return Figures(
        alnum=_sums(kinds & _ALNUM != 0, starts),
        letters=_sums(kinds & _LETTER != 0, starts),
        hangul=_sums(kinds & _HANGUL != 0, starts),
        latin=_sums(kinds & _LATIN != 0, starts),
        jamo=_sums(kinds & _JAMO != 0, starts),
        duplicates=_duplicate_shares(codes, kinds & _SPACE == 0, starts),
    )


def _codes_of(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _holding(hint: str, joined: str, ends: list[int]) -> Iterator[int]:
    """The messages in which a hint stands."""
    place = joined.find(hint)
    while place >= 0:
        message = bisect_right(ends, place)
        yield message
        place = joined.find(hint, ends[message])


def _sums(mask: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many are true between one start and the next."""
    sums = np.zeros(len(mask) + 1, dtype=np.int64)
    np.cumsum(mask, out=sums[1:])
    counted: NDArray[np.int64] = np.diff(sums[starts])
    return counted


def _duplicate_shares(
    codes: NDArray[np.uint32], solid: NDArray[np.bool_], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    lengths = _sums(solid, starts)
    num_grams = np.maximum(lengths - (_GRAM - 1), 0)
    owner = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    inside = _inside(lengths, num_grams)
    # 48 bits of the 4-gram's hash below 16 bits of its message: sorting puts equal grams of a message side by side.
    grams = gram_hashes(codes[solid].astype(np.uint64), _GRAM)[inside]
    keys = (owner[inside] << np.uint64(48)) | (grams >> np.uint64(16))
    keys.sort()
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = keys[1:] != keys[:-1]
    distinct = _sums(new, np.concatenate(([0], np.cumsum(num_grams))))
    shares: NDArray[np.float64] = np.where(num_grams < _MIN_GRAMS, 0.0, 1 - distinct / np.maximum(num_grams, 1))
    return shares


def _inside(lengths: NDArray[np.int64], num_grams: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in the joined text at which a gram starts that lies within one message."""
    firsts = np.cumsum(lengths) - lengths
    before = np.cumsum(num_grams) - num_grams
    places: NDArray[np.int64] = np.arange(num_grams.sum()) + np.repeat(firsts - before, num_grams)
    return places


@cache
def _table() -> NDArray[np.uint8]:
    """What each character of the basic plane is. Beyond it lie emoji and letters that no persona writes."""
    table = np.zeros(0x10000, dtype=np.uint8)
    for code in range(0x10000):
        char = chr(code)
        table[code] = (
            _SPACE * char.isspace()
            | _ALNUM * char.isalnum()
            | _LETTER * char.isalpha()
            | _LATIN * (char.isalpha() and (code < 0x250 or 0x1E00 <= code < 0x1F00))
        )
    for first, last, kind in (
        (0xAC00, 0xD7A3, _HANGUL),
        (0x1100, 0x11FF, _HANGUL | _JAMO),
        (0x3131, 0x318E, _HANGUL | _JAMO),
    ):
        table[first : last + 1] |= kind
    return table
