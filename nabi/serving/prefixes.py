"""What prompts of the same speaker begin with, read once: keys and values that the next prompt takes over."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # torch: settings and tests of others should not wait for it.
    from nabi.serving.kv_rows import Prefix

LEAST_SHARED = 8
"""So many tokens are worth being read apart."""

_COMPARED = 4
"""A prompt is compared with so many before it."""


class Prefixes:
    """Keys and values by speaker and tokens; the least recently used make room.

    A speaker is an adapter version's name, which never stands for other weights, or None for the bare base: what is
    held is good for one base and one adapter only.

    Args:
        max_bytes: of all keys and values together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[tuple[Hashable, tuple[int, ...]], Prefix] = OrderedDict()
        self._latest: dict[Hashable, deque[Sequence[int]]] = {}
        self.num_bytes = 0
        self.num_taken = 0
        """Tokens of prompts that were not computed again."""

    def __len__(self) -> int:
        return len(self._held)

    def find(self, speaker: Hashable, prompt: Sequence[int]) -> Prefix | None:
        """The longest that this prompt begins with and goes beyond: the answer begins behind a token that is read."""
        asked = tuple(prompt)
        fitting = [
            key
            for key in self._held
            if key[0] == speaker and len(key[1]) < len(asked) and asked[: len(key[1])] == key[1]
        ]
        if not fitting:
            return None
        longest = max(fitting, key=lambda key: len(key[1]))
        self._held.move_to_end(longest)
        self.num_taken += len(longest[1])
        return self._held[longest]

    def seen_before(self, speaker: Hashable, beginning: Sequence[int]) -> int:
        """How many tokens it has in common with the beginning of one of the speaker's latest prompts; it is the latest
        from now on."""
        latest = self._latest.setdefault(speaker, deque(maxlen=_COMPARED))
        shared = max((num_shared(beginning, other) for other in latest), default=0)
        latest.append(beginning)
        return shared

    def keep(self, speaker: Hashable, prefix: Prefix) -> None:
        """Holds a prefix, unless it alone is more than all may be."""
        key = (speaker, prefix.tokens)
        if key in self._held or prefix.num_bytes > self._max_bytes:
            return
        self._held[key] = prefix
        self.num_bytes += prefix.num_bytes
        while self.num_bytes > self._max_bytes:
            self.num_bytes -= self._held.popitem(last=False)[1].num_bytes

    def forget(self, speaker: Hashable) -> None:
        """Nothing of this speaker is held any more."""
        self._latest.pop(speaker, None)
        for key in [key for key in self._held if key[0] == speaker]:
            self.num_bytes -= self._held.pop(key).num_bytes


def num_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    most = min(len(one), len(other))
    return next((place for place in range(most) if one[place] != other[place]), most)
