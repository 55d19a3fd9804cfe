"""No user, no wording and no adapter of our own may fill more than its share of a dataset (requirement X5).

Counts are kept in tables of fixed size by hash: two users may, rarely, share a place and so be counted together.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence

import numpy as np

from nabi.conversations.records import Conversation
from nabi.curation.fingerprints import answer_signatures, band_keys
from nabi.curation.verdict import Refused
from nabi.personas.model import Persona

USER, WORDING, OWN = "too much of one user", "too much of one wording", "too many own answers"

_NUM_COUNTS = 2**18

_NUM_HASHES, _NUM_BANDS = 24, 4
"""Answers that are alike by 0.9 fall into one cluster with a chance of 95 %, by 0.7 with 39 %, by 0.5 with 6 %."""


class Shares:
    """How much of the dataset each user, each wording of an answer and our own adapters have so far."""

    def __init__(self, persona: Persona) -> None:
        self._rules = persona.curation
        target = persona.bootstrap.target if persona.bootstrap else 0
        self._small = max(self._rules.small_dataset, target)
        self._num_kept = 0
        self._num_own = 0
        self._users = _zeros()
        self._clusters = _zeros()
        self._members = [_zeros() for _band in range(_NUM_BANDS)]
        self._next_cluster = 1

    def judge(self, conversations: Sequence[Conversation]) -> dict[int, Refused]:
        """What goes beyond a share, by place; all others are counted.

        Shares are of the dataset with all of these in it, and of a small dataset's size at least: in the first days
        a share of a few rows would mean nothing.
        """
        size = max(self._small, self._num_kept + len(conversations))
        refused: dict[int, Refused] = {}
        for row, (conversation, cluster) in enumerate(zip(conversations, self._cluster(conversations), strict=True)):
            over = self._over(conversation, cluster, size)
            if over is None:
                self._count(conversation, cluster)
            else:
                refused[row] = over
        return refused

    def remember(self, conversations: Sequence[Conversation]) -> None:
        """Counts conversations without judging them."""
        for conversation, cluster in zip(conversations, self._cluster(conversations), strict=True):
            self._count(conversation, cluster)

    def _over(self, conversation: Conversation, cluster: int, size: int) -> Refused | None:
        rules = self._rules
        if conversation.user_key is not None and rules.max_user_share < 1:
            limit = int(rules.max_user_share * size)
            if self._users[_place(conversation.user_key)] >= limit:
                return Refused(USER, f"more than {limit} conversations, {rules.max_user_share:.0%} of a dataset")
        limit = int(rules.max_cluster_share * size)
        if self._clusters[cluster] >= limit:
            return Refused(WORDING, f"more than {limit} answers so alike, {rules.max_cluster_share:.0%} of a dataset")
        limit = int(rules.max_own_share * size)
        if conversation.adapter_version is not None and self._num_own >= limit:
            return Refused(OWN, f"more than {limit} answers of adapters, {rules.max_own_share:.0%} of a dataset")
        return None

    def _count(self, conversation: Conversation, cluster: int) -> None:
        self._num_kept += 1
        self._clusters[cluster] += 1
        if conversation.user_key is not None:
            self._users[_place(conversation.user_key)] += 1
        if conversation.adapter_version is not None:
            self._num_own += 1

    def _cluster(self, conversations: Sequence[Conversation]) -> list[int]:
        """For each conversation the number of its answer's cluster: whoever is like a member becomes one."""
        if not conversations:
            return []
        keys = band_keys(answer_signatures(conversations, _NUM_HASHES), _NUM_BANDS) % np.uint64(_NUM_COUNTS)
        clusters = []
        for slots in keys.astype(np.int64).tolist():
            cluster = 0
            for band, slot in zip(self._members, slots, strict=True):
                cluster = cluster or band[slot]
            if not cluster:
                cluster = self._next_cluster
                self._next_cluster = self._next_cluster % (_NUM_COUNTS - 1) + 1
            for band, slot in zip(self._members, slots, strict=True):
                band[slot] = cluster
            clusters.append(cluster)
        return clusters


def _place(user_key: str) -> int:
    return zlib.crc32(user_key.encode()) % _NUM_COUNTS


def _zeros() -> array[int]:
    """Counts by hash: quicker to look into one by one than numpy's."""
    return array("i", bytes(4 * _NUM_COUNTS))
