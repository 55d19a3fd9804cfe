"""Replaces what is surely personal by a placeholder, and points at what may be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from nabi.curation.pii.doubts import DoubtReason, find_doubts
from nabi.curation.pii.engine import analyse
from nabi.curation.pii.family import Span
from nabi.curation.pii.folding import HOLE, Folded, fold
from nabi.curation.pii.kinds import KINDS, Kind, placeholder
from nabi.curation.pii.prefilter import look, needs_look


@dataclass(frozen=True, slots=True)
class Found:
    """Characters `start` to `end` (exclusive) of the text as given."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """Characters `start` to `end` (exclusive) of the text as given, which stay in it: a person decides."""

    reason: DoubtReason
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Masked:
    """`text` with placeholders, what they replaced, and what is left to a person."""

    text: str
    found: tuple[Found, ...]
    doubtful: tuple[Doubt, ...]


_NUMERIC: Final = frozenset(
    ("주민등록번호", "외국인등록번호", "카드번호", "전화번호", "면허번호", "여권번호", "사업자등록번호", "계좌번호")
)
_OPEN_KINDS: Final = frozenset(("주소", "전화번호", "이름"))
_MOBILE: Final = re.compile(r"(?:\+?82[ .\-(]*0?|\(?0)1[016789]")
_RANK: Final = {kind: rank for rank, kind in enumerate(KINDS)}


def mask(text: str, public: Collection[str] = ()) -> Masked:
    """Masks one text. Masking what came out again changes nothing.

    `public` are texts that everybody may read, such as the shop entries an answer was made from and the persona's own
    name: addresses, landline numbers and names that stand in one of them are no secrets.
    """
    if not needs_look(text):
        return Masked(text, (), ())
    folded = fold(text)
    open_texts = [fold(entry).text for entry in public]
    found: list[Found] = []
    while spans := _look(folded, open_texts):
        for span in reversed(spans):
            found.append(Found(span.kind, *folded.span(span.start, span.end)))
            folded = folded.punch(span.start, span.end)
    found.sort(key=lambda secret: secret.start)
    doubtful = tuple(Doubt(doubt.reason, *folded.span(doubt.start, doubt.end)) for doubt in find_doubts(folded.text))
    return Masked(_replace(text, found), tuple(found), doubtful)


def _look(folded: Folded, public: list[str]) -> list[Span]:
    """One round: what is found now, in order, whole, without overlaps."""
    kinds = look(folded.text).kinds
    if not kinds:
        return []
    spans = [span for span in analyse(folded.text, kinds) if not _is_public(span, folded.text, public)]
    whole = [Span(span.kind, *folded.widen(*_swallow(span, folded.text))) for span in spans]
    return _merge(part for span in whole for part in _around_holes(span, folded.text))


def _is_public(span: Span, text: str, public: list[str]) -> bool:
    """A shop's address, name or landline that stands in an open text. Mobile numbers are masked wherever they stand."""
    words = text[span.start : span.end]
    if span.kind not in _OPEN_KINDS or _MOBILE.match(words):
        return False
    return any(words in entry for entry in public)


def _swallow(span: Span, text: str) -> tuple[int, int]:
    """Digits that hang on a number belong to it: no part of a secret is left."""
    start, end = span.start, span.end
    if span.kind not in _NUMERIC:
        return start, end
    while end < len(text) and (text[end] in "0123456789" or (text[end] in "-_*" and text[end + 1 : end + 2].isdigit())):
        end += 1
    while start > 0 and (
        text[start - 1] in "0123456789" or (text[start - 1] in "-_*" and start > 1 and text[start - 2].isdigit())
    ):
        start -= 1
    return start, end


def _around_holes(span: Span, text: str) -> Iterable[Span]:
    """What is masked already is left out of a new span."""
    start = span.start
    for part in text[span.start : span.end].split(HOLE):
        if part.strip():
            yield Span(span.kind, start, start + len(part))
        start += len(part) + 1


def _merge(spans: Iterable[Span]) -> list[Span]:
    """Overlapping spans become one that covers them all and has the most telling kind."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(min(last.kind, span.kind, key=_RANK.__getitem__), last.start, max(last.end, span.end))
        else:
            merged.append(span)
    return merged


def _replace(text: str, found: list[Found]) -> str:
    parts: list[str] = []
    last = 0
    for secret in found:
        parts += (text[last : secret.start], placeholder(secret.kind))
        last = secret.end
    return "".join(parts) + text[last:]
