"""Says fast that a text holds nothing to mask, so that Presidio is asked about the rest only.

It can lose nothing, by construction. A family of ours is either asleep (its trigger, a condition without which its
patterns cannot match, is false), or it is simply run, outside of Presidio. Presidio's own recognisers all need seven
digits in a row or what the passports' trigger asks for, and are asked wherever that is there. Doubts need seven
digits or digit words in a row. Where nobody speaks up, the full analysis is empty.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from nabi.curation.pii.documents import PASSPORTS
from nabi.curation.pii.engine import FAMILIES, PRESIDIO_KINDS
from nabi.curation.pii.folding import fold, is_plain
from nabi.curation.pii.numbers import long_number, spelled_number


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
