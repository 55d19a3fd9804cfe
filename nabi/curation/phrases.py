"""Words of questions and pairs of words side by side, as hashes of a whole block at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nabi.conversations.records import Conversation
from nabi.curation.fingerprints import folding, mix


@dataclass(frozen=True, slots=True)
class Phrases:
    """Each phrase of each question: its hash, the place of its conversation, and where its text stands."""

    hashes: NDArray[np.uint64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    joined: str

    def text(self, place: int) -> str:
        """The words of a phrase, in small letters."""
        return self.joined[self.starts[place] : self.ends[place]].lower()


def phrases_of(conversations: Sequence[Conversation]) -> Phrases:
    """The phrases of the last questions of complete conversations."""
    questions = [conversation.messages[-2].content for conversation in conversations]
    joined = "".join(f"{question}\n" for question in questions)
    codes = folding()[np.minimum(np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32), 0xFFFF)]
    inside = np.concatenate(([False], codes > 1, [False]))
    starts = np.flatnonzero(inside[1:] & ~inside[:-1])
    ends = np.flatnonzero(~inside[1:] & inside[:-1])
    rows = np.searchsorted(np.cumsum([len(question) + 1 for question in questions]), starts, side="right")
    words = _word_hashes(codes, starts, ends)
    beside = np.flatnonzero(rows[1:] == rows[:-1])
    pairs = mix(words[beside] + np.uint64(1)) ^ words[beside + 1]
    return Phrases(
        hashes=np.concatenate((words, pairs)),
        rows=np.concatenate((rows, rows[beside])),
        starts=np.concatenate((starts, starts[beside])),
        ends=np.concatenate((ends, ends[beside + 1])),
        joined=joined,
    )


def _word_hashes(codes: NDArray[np.uint16], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The sum of each word's mixed letters and places."""
    places = np.arange(len(codes), dtype=np.int64)
    lengths = ends - starts
    chosen = places[codes > 1]
    offsets = chosen - np.repeat(starts, lengths)
    sums = np.zeros(len(chosen) + 1, dtype=np.uint64)
    np.cumsum(mix(codes[chosen].astype(np.uint64) + (offsets.astype(np.uint64) << np.uint64(32))), out=sums[1:])
    last = np.cumsum(lengths)
    hashed: NDArray[np.uint64] = mix(sums[last] - sums[last - lengths])
    return hashed
