"""The text as recognisers read it: one spelling for each sign, and the way back to the characters as written.

NFC puts decomposed Hangul together; NFKC is not used, for it eats jamo (`ㅋㅡ` becomes `크`). Full-width signs, every
script's digits, those in circles too, dashes and odd spaces become their ASCII sisters; invisible characters fall away.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final

from nabi.curation.pii.kinds import PLACEHOLDER

HOLE: Final = "\ue000"
"""One private-use character in place of anything masked, whatever its length: so a text reads the same to the
recognisers before its secrets are replaced and after, and masking twice changes nothing."""

_STRAY_HOLE: Final = "\ufffd"
_DASHES: Final = "‐‑‒–—―⁃−﹘﹣－﹣ㅡ─━ー"
_SPACES: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t"
_LIKE_STARS: Final = "•●○◯＊※"
_LIKE_DOTS: Final = "·․∙。★☆♥♡"
_INVISIBLE: Final = "\u034f\u115f\u1160\u20e3\u3164\uffa0"
_MARKS: Final = "\u0300-\u036f\u3099\u309a"
_MARK: Final = re.compile(f"[{_MARKS}]")
_UNIT: Final = re.compile(
    f"{PLACEHOLDER.pattern}|[\u1100-\u115e\ua960-\ua97c]+[\u1161-\u11a7\ud7b0-\ud7c6]+[\u11a8-\u11ff\ud7cb-\ud7fb]*"
    f"|[^{_MARKS}][{_MARKS}]*|[{_MARKS}]+",
    re.DOTALL,
)

_PLAIN: Final = re.compile("[ -;=-~가-힣ㄱ-ㅠㅢㅣ\n\U0001f300-\U0001faff~…“”‘’]*")
is_plain: Final = _PLAIN.fullmatch
"""Truthy for texts of signs that are read as written; most chat holds nothing else."""


@cache
def _signs() -> dict[str, str]:
    """What is read otherwise than written, "" for what is not read at all.

    Made at the first use: it walks through Unicode's basic plane, the mathematical digits and the tags.
    """
    signs = {HOLE: _STRAY_HOLE}
    for code in (*range(0x80, 0x10000), *range(0x1D7CE, 0x1D800), *range(0xE0000, 0xE0080)):
        char = chr(code)
        category = unicodedata.category(char)
        if (digit := unicodedata.digit(char, None)) is not None:
            signs[char] = str(digit)
        elif category == "Cf" or 0xFE00 <= code <= 0xFE0F:
            signs[char] = ""
    signs |= {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    for chars, read in ((_DASHES, "-"), (_SPACES, " "), (_LIKE_STARS, "*"), (_LIKE_DOTS, "."), (_INVISIBLE, "")):
        signs |= dict.fromkeys(chars, read)
    return signs


@dataclass(frozen=True, slots=True)
class Folded:
    """`text` is what is read; its character i was written as `original[starts[i]:ends[i]]`."""

    original: str
    text: str
    starts: tuple[int, ...] | range
    ends: tuple[int, ...] | range

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` stands in the original; `start` < `end`."""
        return self.starts[start], self.ends[end - 1]

    def widen(self, start: int, end: int) -> tuple[int, int]:
        """The span grown to whole written characters, where one of them is read as several."""
        while start > 0 and self.starts[start - 1] == self.starts[start]:
            start -= 1
        while end < len(self.text) and self.starts[end] == self.starts[end - 1]:
            end += 1
        return start, end

    def punch(self, start: int, end: int) -> Folded:
        """The same text with a hole in place of `text[start:end]`."""
        first, last = self.span(start, end)
        return Folded(
            self.original,
            self.text[:start] + HOLE + self.text[end:],
            (*self.starts[:start], first, *self.starts[end:]),
            (*self.ends[:start], last, *self.ends[end:]),
        )


def fold(original: str) -> Folded:
    """Reads any string; what was masked before reads as a hole."""
    if is_plain(original):
        return Folded(original, original, range(len(original)), range(1, len(original) + 1))
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for unit in _UNIT.finditer(original):
        for char in _read(unit.group()):
            chars.append(char)
            starts.append(unit.start())
            ends.append(unit.end())
    return Folded(original, "".join(chars), tuple(starts), tuple(ends))


def _read(unit: str) -> str:
    """One written unit as it is read: a hole, nothing, or mostly one character. Marks that compose to nothing go."""
    signs = _signs()
    if len(unit) == 1:
        return signs.get(unit, unit)
    if PLACEHOLDER.fullmatch(unit):
        return HOLE
    composed = unicodedata.normalize("NFC", unit)
    return "".join(signs.get(char, char) for char in composed if not _MARK.match(char))
