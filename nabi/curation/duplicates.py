"""The same conversation again, to the letter or nearly: it teaches nothing and shifts what is learned.

The memory of what was there before is of fixed size, whatever runs through: a table of digests, and the signatures
of the latest rows behind a locality-sensitive hash. It holds no text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nabi.conversations.records import Conversation
from nabi.curation.fingerprints import NUM_HASHES, Digests, Fingerprints, Signatures, band_keys, fingerprints
from nabi.curation.verdict import Refused

EXACT, NEAR = "duplicate", "near-duplicate"

_NUM_DIGESTS = 2**21
"""Digests remembered; a newer one takes an older one's place where two meet."""

_WANTED_CHANCE = 0.95
"""That two rows of just the wanted similarity meet in the locality-sensitive hash."""

_NOTHING = -1


class SeenTexts:
    """What went before, as fingerprints.

    Args:
        similarity: Jaccard similarity from which two conversations count as the same.
        capacity: how many of the latest rows near-duplicates are looked for in (120 bytes a row).
    """

    def __init__(self, similarity: float, capacity: int) -> None:
        self._similarity = similarity
        self._num_bands = num_bands_for(similarity)
        self._capacity = capacity
        self._num_seen = 0
        self._digests: Digests = np.zeros(_NUM_DIGESTS, dtype=np.uint64)
        # Half of each hash is enough to tell equal from unequal (an error of 1 in 65,536).
        self._signatures: NDArray[np.uint16] = np.zeros((capacity, NUM_HASHES), dtype=np.uint16)
        slots = 1 << (2 * capacity - 1).bit_length()
        # Number of the latest row (from 1) with a band's key: 0 is none.
        self._latest: NDArray[np.uint32] = np.zeros((self._num_bands, slots), dtype=np.uint32)

    def judge(self, conversations: Sequence[Conversation]) -> dict[int, Refused]:
        """The duplicates among the conversations, by place; all others are remembered."""
        if not conversations:
            return {}
        prints = fingerprints(conversations)
        likeness = self._likeness(prints.signatures)
        refused = {row: Refused(EXACT, "the same was said before") for row in self._known(prints.digests)}
        for row in np.flatnonzero(likeness >= self._similarity).tolist():
            refused.setdefault(row, Refused(NEAR, f"{likeness[row]:.0%} like one before"))
        self._remember(prints, np.array([row for row in range(len(conversations)) if row not in refused], dtype=int))
        return refused

    def remember(self, conversations: Sequence[Conversation]) -> None:
        """Takes note of conversations without judging them."""
        if conversations:
            self._remember(fingerprints(conversations), np.arange(len(conversations)))

    def _known(self, digests: Digests) -> list[int]:
        """Rows whose digest is in the table or on an earlier row."""
        before = self._digests[digests % np.uint64(_NUM_DIGESTS)] == digests
        _values, firsts = np.unique(digests, return_index=True)
        again = np.ones(len(digests), dtype=bool)
        again[firsts] = False
        return np.flatnonzero(before | again).tolist()

    def _likeness(self, signatures: Signatures) -> NDArray[np.float64]:
        """Of each row to the most similar one met before it; 0 when it meets none."""
        short = signatures.astype(np.uint16)
        slots = self._slots(signatures)
        best = np.zeros(len(signatures))
        for band in range(self._num_bands):
            met = self._latest[band, slots[:, band]].astype(np.int64)
            valid = np.flatnonzero(met > max(0, self._num_seen - self._capacity))
            ring = self._signatures[(met[valid] - 1) % self._capacity]
            best[valid] = np.maximum(best[valid], (ring == short[valid]).mean(axis=1))
            earlier = _earlier_with_same(slots[:, band])
            inside = np.flatnonzero(earlier != _NOTHING)
            best[inside] = np.maximum(best[inside], (short[earlier[inside]] == short[inside]).mean(axis=1))
        return best

    def _remember(self, prints: Fingerprints, rows: NDArray[np.int64]) -> None:
        rows = rows[-self._capacity :]
        numbers = self._num_seen + np.arange(len(rows))
        self._signatures[numbers % self._capacity] = prints.signatures[rows].astype(np.uint16)
        slots = self._slots(prints.signatures[rows])
        for band in range(self._num_bands):
            self._latest[band, slots[:, band]] = numbers + 1
        digests = prints.digests[rows]
        self._digests[digests % np.uint64(_NUM_DIGESTS)] = digests
        self._num_seen += len(rows)

    def _slots(self, signatures: Signatures) -> NDArray[np.int64]:
        keys = band_keys(signatures, self._num_bands) % np.uint64(self._latest.shape[1])
        return keys.astype(np.int64)


def num_bands_for(similarity: float) -> int:
    """The fewest bands with which two rows of this similarity are still found with a chance of 95 %."""
    for num_bands in (2, 3, 4, 5, 6, 10, 12, 15, 20, 30):
        if 1 - (1 - similarity ** (NUM_HASHES // num_bands)) ** num_bands >= _WANTED_CHANCE:
            return num_bands
    return NUM_HASHES


def _earlier_with_same(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row the nearest earlier one with the same slot, or `_NOTHING`."""
    order = np.argsort(slots, kind="stable")
    same = slots[order[1:]] == slots[order[:-1]]
    earlier = np.full(len(slots), _NOTHING, dtype=np.int64)
    earlier[order[1:][same]] = order[:-1][same]
    return earlier
