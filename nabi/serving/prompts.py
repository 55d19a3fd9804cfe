"""Prompts become rows of keys and values; what several of them begin with is computed once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol, TypeVar

from nabi.serving.kv_rows import KvRows, Stretch
from nabi.serving.prefixes import LEAST_SHARED, Prefixes, num_shared
from nabi.serving.slots import AdapterSlots


class Newcomer(Protocol):
    """Who brings a prompt."""

    @property
    def prompt(self) -> Sequence[int]: ...
    @property
    def tried(self) -> Sequence[int]:
        """What may be said: read behind the prompt, and scored."""

    @property
    def lasting(self) -> int:
        """So many tokens of the prompt may be held for prompts that come later."""

    @property
    def speaker(self) -> Hashable: ...
    @property
    def slot(self) -> int: ...


Coming = TypeVar("Coming", bound=Newcomer)


class PromptReader:
    """Takes prompts into rows, through their speakers' slots."""

    def __init__(self, rows: KvRows, slots: AdapterSlots, prefixes: Prefixes) -> None:
        self._rows = rows
        self._slots = slots
        self._prefixes = prefixes

    def read(self, newcomers: Sequence[Coming]) -> tuple[list[Coming], Any]:
        """Takes these into new rows.

        Returns:
            the newcomers in the order of their rows; and the logits behind each one's prompt and behind all of its
            `tried` tokens but the last, in the same order: (tokens, vocabulary).
        """
        first = len(self._rows.lengths)
        known = {id(one): self._prefixes.find(one.speaker, one.prompt) for one in newcomers}
        starts = {key: len(prefix.tokens) if prefix else 0 for key, prefix in known.items()}
        # Side by side stand those who go through the same slot, and those who begin alike.
        ordered = sorted(newcomers, key=lambda one: (one.slot, starts[id(one)], one.prompt))
        stretches: list[Stretch] = []
        slots: list[int] = []
        places = groupby(range(len(ordered)), key=lambda place: (ordered[place].slot, starts[id(ordered[place])]))
        for (slot, start), alike in places:
            rows = list(alike)
            stretches += _stretches(ordered, range(rows[0], rows[-1] + 1), start)
            slots += [slot] * (len(stretches) - len(slots))
        try:
            with self._slots.speaking(slots, [len(stretch.tokens) for stretch in stretches]):
                logits = self._rows.read(stretches, [known[id(one)] for one in ordered])
            self._keep(first, ordered, stretches)
        except BaseException:
            self._rows.cut(first)
            raise
        return ordered, logits

    def _keep(self, first: int, ordered: Sequence[Newcomer], stretches: Sequence[Stretch]) -> None:
        """Holds what two prompts of a speaker began with, now or one after the other, for the next that does."""
        for stretch in stretches:
            place = stretch.rows.start
            one = ordered[place]
            lasting = one.prompt[: one.lasting]
            shared = stretch.end if len(stretch.rows) > 1 else self._prefixes.seen_before(one.speaker, lasting)
            tokens = tuple(lasting[:shared])
            if len(tokens) >= stretch.start + LEAST_SHARED:
                self._prefixes.keep(one.speaker, self._rows.prefix(first + place, tokens))


def _stretches(ordered: Sequence[Newcomer], rows: range, start: int) -> Iterator[Stretch]:
    """What is to be read for these rows, sorted by their prompts, from `start` on: first what all of them go on with,
    then what some of them do, then what each has alone."""
    one = ordered[rows[0]]
    if len(rows) == 1:
        tried = one.tried[:-1]
        yield Stretch(rows, start, [*one.prompt[start:], *tried], scored=1 + len(tried))
        return
    end = _shared(one, ordered[rows[-1]])
    if end >= start + LEAST_SHARED:
        yield Stretch(rows, start, one.prompt[start:end])
        start = end
    begin = rows.start
    for place in rows:
        last = place + 1 == rows.stop
        if last or _shared(ordered[place], ordered[place + 1]) < start + LEAST_SHARED:
            yield from _stretches(ordered, range(begin, place + 1), start)
            begin = place + 1


def _shared(one: Newcomer, other: Newcomer) -> int:
    """What both prompts begin with; each keeps a token of its own, behind which the answer begins."""
    return min(num_shared(one.prompt, other.prompt), len(one.prompt) - 1, len(other.prompt) - 1)
