"""A person's own words, found and blanked out in files that are not made of conversations: logs, reports, results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property

MIN_CHARS = 8
"""Shorter texts ("네", "안녕하세요") are everybody's; blanking them out would say nothing about anybody."""


class Words:
    """The texts of one request, in every form in which a file may hold them."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(text.strip() for text in texts if len(text.strip()) >= MIN_CHARS)

    def blanked(self, content: bytes) -> bytes:
        """The content with asterisks in place of the words, of the same length in bytes: a log stays readable."""
        if not self._texts:
            return content
        return self._pattern.sub(lambda found: b"*" * len(found[0]), content)

    def count(self, content: bytes) -> int:
        """How often they stand in it."""
        return sum(1 for _found in self._pattern.finditer(content)) if self._texts else 0

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        # Longest first, or a short text would leave the rest of a longer one that begins with it.
        forms = sorted({form for text in self._texts for form in _forms(text)}, key=lambda form: (-len(form), form))
        return re.compile(b"|".join(map(re.escape, forms)))


def _forms(text: str) -> Iterable[bytes]:
    """Plain, and inside a JSON string with and without escapes."""
    yield text.encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield json.dumps(text)[1:-1].encode()
