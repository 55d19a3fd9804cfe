"""Names in a text: which of the known ones it says, and which it garbles.

A Korean name is followed by particles without a space ("김밥은") and may be part of a longer one ("참치김밥"), so a
name counts only from the start of a word to a particle or the word's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from nabi.conversations.records import Fact
from nabi.evaluation.quantities import Quantity, find_quantities

YES_WORDS = frozenset({"예", "네", "가능", "있음", "o", "y", "yes", "true"})
NO_WORDS = frozenset({"아니요", "아니오", "불가", "불가능", "없음", "x", "n", "no", "false"})

MAX_NAME_CHARACTERS = 20
"""Longer values are descriptions, which an answer may put in its own words."""

_ITEM_BORDER = re.compile(r"\s*[·/、;|]\s*|,\s+|,(?!\d{3})|\s*\(|\)")
_PARTICLES = re.compile(
    r"(?:에서|에게|에는|에선|에도|에|은|는|이|가|을|를|도|만|와|과|이랑|랑|의|으로|로|까지|부터|보다|처럼|하고|이나|나|이라도|라도|마다|밖에|"
    r"이든|든|이든지|든지|이며|며|이고|고|인데|이라|라|이라고|라고|이라는|라는|이라서|라서|이요|요|예요|이에요|이예요|에요|이야|야|"
    r"입니다|이네요|네요|이죠|죠|이지|지|인가요|인|이랍니다|랍니다|여도|어때요|집|가게)*"
)
_SIMILAR = 0.6
"""Share of shared characters (Ratcliff/Obershelp) from which a word is a garbled form of a name, not another word."""


@dataclass(frozen=True)
class Mention:
    """A name of the facts as it stands in a text."""

    name: str
    start: int
    end: int


def squeeze(text: str) -> str:
    """Without spaces and in lower case: "매운 떡볶이" and "매운떡볶이" are one name."""
    return re.sub(r"\s+", "", text).lower()


def items_of(value: str) -> list[str]:
    """The single items of a fact's value: "우유, 밀(소량)" holds three. A comma inside a number doesn't divide."""
    parts = [value.strip(), *(part.strip() for part in _ITEM_BORDER.split(value))]
    return list(dict.fromkeys(part for part in parts if part))


def names_in(facts: Iterable[Fact]) -> set[str]:
    """What the facts call by name: short values with letters that are no figure and no yes or no."""
    return {item for fact in facts for value in fact.values() for item in items_of(value) if _is_name(item)}


def _is_name(item: str) -> bool:
    if squeeze(item) in YES_WORDS | NO_WORDS or not 2 <= len(squeeze(item)) <= MAX_NAME_CHARACTERS:
        return False
    figures = find_quantities(item)
    letters = sum(char.isalpha() for char in _blanked(item, figures))
    return letters >= (3 if figures else 2)  # "8,000원 이상" is a condition, not a name


def _blanked(text: str, places: Iterable[Mention | Quantity]) -> str:
    """The text with spaces where something was found."""
    left = list(text)
    for place in places:
        left[place.start : place.end] = [" "] * (place.end - place.start)
    return "".join(left)


def find_mentions(text: str, names: Iterable[str]) -> list[Mention]:
    """The names that a text says, longest first where they overlap, in the order they stand."""
    taken: list[Mention] = []
    squeezed = squeeze(text)
    candidates = sorted({name for name in names if squeeze(name) in squeezed}, key=lambda name: (-len(name), name))
    for name in candidates:
        for match in _spaced(name).finditer(text):
            free = all(match.end() <= other.start or match.start() >= other.end for other in taken)
            if free and _whole_word(text, match):
                taken.append(Mention(name, match.start(), match.end()))
    return sorted(taken, key=lambda mention: mention.start)


def _spaced(name: str) -> re.Pattern[str]:
    return re.compile(r"\s*".join(re.escape(char) for char in re.sub(r"\s+", "", name)), re.IGNORECASE)


def _whole_word(text: str, match: re.Match[str]) -> bool:
    """True when the match starts a word and nothing but particles follows it there."""
    if match.start() and text[match.start() - 1].isalnum():
        return False
    tail = re.match(r"\w*", text[match.end() :])
    return _PARTICLES.fullmatch(tail.group() if tail else "") is not None


def garbled_names(text: str, mentions: Sequence[Mention], names: Iterable[str], given: str) -> set[str]:
    """Words of a text that look like one of the given names but are not: "해밝은분식" for "해맑은분식".

    Args:
        mentions: the names found in the text already; their words are left alone.
        names: the names in the facts of this prompt.
        given: all that the model was shown; words in it are no inventions.
    """
    free = _blanked(_blanked(text, mentions), find_quantities(text))
    words = dict.fromkeys(re.findall(r"\w+", free))
    invented = (word for word in words if not any(_begins_a_word(form, given) for form in (word, _stem(word))))
    return {_stem(word) for word in invented if any(_garbles(word, name) for name in names)}


def _begins_a_word(stem: str, text: str) -> bool:
    """A piece from the middle does not count: of "너나들이", "나들이" is a garbled name and "너나" a short one."""
    return re.search(rf"(?<!\w){_spaced(stem).pattern}", text, re.IGNORECASE) is not None


def _stem(word: str) -> str:
    """The word without the particles at its end; at least two characters stay."""
    for length in range(2, len(word)):
        if _PARTICLES.fullmatch(word[length:]):
            return word[:length]
    return word


def _garbles(word: str, name: str) -> bool:
    """Two characters are too few to tell a garbled name from another word."""
    forms = (form.lower() for form in (word, _stem(word)) if len(form) >= 3)
    return any(SequenceMatcher(None, form, squeeze(name), autojunk=False).ratio() >= _SIMILAR for form in forms)
