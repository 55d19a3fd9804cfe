"""Regular expressions that are only tried where one of their words stands: most texts hold none of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DISGUISE = re.compile("[\u200b-\u200f\u2060\ufeff\uff01-\uff5e]")
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | dict.fromkeys(
    [*range(0x200B, 0x2010), 0x2060, 0xFEFF], None
)


@dataclass(frozen=True, slots=True)
class HintedPattern:
    """A pattern and words (in small letters) of which every match holds one, so that looking for them loses nothing."""

    pattern: re.Pattern[str]
    hints: tuple[str, ...]

    def find(self, plain: str) -> str | None:
        """What matches in a text made by `plain_text`; None when nothing does."""
        for hint in self.hints:
            if hint in plain:
                found = self.pattern.search(plain)
                return found.group().strip() if found else None
        return None


def hinted(pattern: str, *hints: str) -> HintedPattern:
    """Compiles a pattern over several lines (spaces in it don't count) with its hints."""
    return HintedPattern(re.compile(pattern, re.VERBOSE), hints)


def is_disguised(text: str) -> bool:
    """Whether `plain_text` would do more than write small letters."""
    return _DISGUISE.search(text) is not None


def plain_text(text: str) -> str:
    """Small letters without the usual disguises: full-width letters, and characters that nobody sees."""
    if is_disguised(text):
        text = text.translate(_PLAIN)
    return text.lower()
