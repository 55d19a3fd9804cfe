"""Says fast that a text holds nothing to mask, so that Presidio is asked about the rest only.

It can lose nothing, by construction. A family of ours is either asleep (its trigger, a condition without which its
patterns cannot match, is false), or it is simply run, outside of Presidio. Presidio's own recognisers all need seven
digits in a row or what the passports' trigger asks for, and are asked wherever that is there. Doubts need seven
digits or digit words in a row. Where nobody speaks up, the full analysis is empty.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from nabi.curation.pii.documents import PASSPORTS
from nabi.curation.pii.engine import FAMILIES, PRESIDIO_KINDS
from nabi.curation.pii.family import Family
from nabi.curation.pii.folding import fold, is_plain
from nabi.curation.pii.numbers import SPELLED_PATTERNS, long_number, spelled_number


class Look(NamedTuple):
    """`kinds`: the recognisers, by Presidio's names, that can find something. `may_doubt`: a run is long enough."""

    kinds: tuple[str, ...]
    may_doubt: bool


_LONG: Final = tuple(family for family in FAMILIES if family.trigger is long_number)
_DIGITS: Final = tuple(
    (family.trigger, family) for family in FAMILIES if family.needs_digit and family.trigger is not long_number
)
_WORDS: Final = tuple((family.trigger, family) for family in FAMILIES if not family.needs_digit)
PRESIDIO_ENTITIES: Final[tuple[str, ...]] = tuple(PRESIDIO_KINDS)
_digit = re.compile("[0-9]").search
_passport = PASSPORTS.trigger


def look(text: str) -> Look:
    """What is worth looking for in a folded text."""
    kinds: list[str] = [family.kind for trigger, family in _WORDS if trigger(text) and next(family.find(text), None)]
    is_long = False
    if _digit(text):
        kinds += [family.kind for trigger, family in _DIGITS if trigger(text) and next(family.find(text), None)]
        if long_number(text):
            is_long = True
            kinds += [family.kind for family in _LONG if next(family.find(text), None)]
        if is_long or _passport(text):
            kinds += PRESIDIO_ENTITIES
    return Look(tuple(dict.fromkeys(kinds)) if kinds else (), is_long or spelled_number(text))


def needs_look(text: str) -> bool:
    """False when there is certainly nothing to mask and nothing to doubt in the text as written."""
    seen = look(text if is_plain(text) else fold(text).text)
    return seen.may_doubt or bool(seen.kinds)


def which_need_a_look(texts: Sequence[str]) -> list[int]:
    """The places of the texts for which `needs_look` is true, in order: the same answer, several times as fast.

    Each trigger is sought once in all texts together, a line break between them. Only where one speaks up are its
    families asked, and only texts that are not plain are looked at by themselves.
    """
    joined = "\n".join(texts)
    starts = [0, *accumulate(len(text) + 1 for text in texts)]
    woken: dict[int, list[Family]] = {}
    for pattern, families in _SOUGHT:
        for place in _places_of(pattern, joined, starts):
            woken.setdefault(place, []).extend(families)
    for trigger, families in _ASKED:
        for place, text in enumerate(texts):
            if trigger(text):
                woken.setdefault(place, []).extend(families)
    certain = {place for pattern in _CERTAIN for place in _places_of(pattern, joined, starts)}
    wanted = {place for place, families in woken.items() if place in certain or _finds(texts[place], families)}
    doubted = {place for pattern in _DOUBTED for place in _places_of(pattern, joined, starts)}
    odd = set() if is_plain(joined) else {place for place, text in enumerate(texts) if not is_plain(text)}
    return sorted(wanted | {place for place in certain | doubted | odd if needs_look(texts[place])})


def _places_of(pattern: re.Pattern[str], joined: str, starts: list[int]) -> Iterator[int]:
    """Texts that a match touches. After a match the search goes on in the text after the one in which it begins."""
    start, num_texts = 0, len(starts) - 1
    while found := pattern.search(joined, start):
        first, last = bisect_right(starts, found.start()) - 1, bisect_right(starts, found.end()) - 1
        yield from range(first, min(last + 1, num_texts))
        if first + 1 >= num_texts:
            return
        start = starts[first + 1]


def _finds(text: str, families: Iterable[Family]) -> bool:
    has_digit = _digit(text) is not None
    return any(next(family.find(text), None) for family in families if has_digit or not family.needs_digit)


def _pattern_of(search: object) -> re.Pattern[str] | None:
    """The pattern whose `search` a trigger is; None where it is a function of ours."""
    owner = getattr(search, "__self__", None)
    return owner if isinstance(owner, re.Pattern) else None


_TRIGGERS: Final = {
    trigger: tuple(family for family in FAMILIES if family.trigger is trigger)
    for trigger in dict.fromkeys(family.trigger for family in FAMILIES)
}
_SOUGHT: Final = tuple((found, members) for trigger, members in _TRIGGERS.items() if (found := _pattern_of(trigger)))
_ASKED: Final = tuple((trigger, members) for trigger, members in _TRIGGERS.items() if not _pattern_of(trigger))
_CERTAIN: Final = tuple(pattern for search in (long_number, _passport) if (pattern := _pattern_of(search)))
_DOUBTED: Final = SPELLED_PATTERNS
