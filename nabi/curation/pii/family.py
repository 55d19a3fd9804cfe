"""What a recogniser is: a cheap condition without which it can find nothing, and the search itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nabi.curation.pii.kinds import Kind


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of the folded text."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Family:
    """Patterns of one kind.

    `find(text)` is empty wherever `trigger(text)` is false, and, with `needs_digit`, wherever there is no 0–9.
    Triggers are written as alternatives that begin with plain letters: Python's `re` skips through a text for those.
    """

    kind: Kind
    trigger: Callable[[str], object]
    find: Callable[[str], Iterator[Span]]
    needs_digit: bool = False
