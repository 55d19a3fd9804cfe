"""Payment cards: sixteen digits in fours, or anything that passes Luhn's check, and the three digits on the back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span
from nabi.curation.pii.numbers import ALONE, GAP, OVER, STAR, long_number, only_digits

_FOURS: Final = re.compile(
    rf"{ALONE}[0-9]{{4}}{GAP}(?:[0-9]|{STAR}){{4}}{GAP}(?:[0-9]|{STAR}){{4}}{GAP}[0-9]{{4}}{OVER}"
)
_BROKEN: Final = re.compile(r"[ .\-_/~()]")
_AMEX: Final = re.compile(rf"{ALONE}3[47][0-9]{{2}}{GAP}[0-9]{{6}}{GAP}[0-9]{{5}}{OVER}")
_SOLID: Final = re.compile(rf"{ALONE}[0-9](?:[ \-]?[0-9]){{13,18}}{OVER}")
_WORD: Final = re.compile("카드|card|결제|할부|비자|VISA|마스터|아멕스", re.IGNORECASE)
SIXTEEN: Final = 16
"""Digits on most cards; other lengths are also those of bank accounts and need a word about cards."""

_BACK: Final = re.compile(rf"(?:cvc|cvv|CVC|CVV|보안 ?코드|씨브이씨)2?[가-힣]{{0,3}}[ :=]{{0,3}}([0-9]{{3,4}}){OVER}")


def _find(text: str) -> Iterator[Span]:
    has_word = bool(_WORD.search(text))
    for number in _FOURS.finditer(text):
        if has_word or _BROKEN.search(number.group()) or passes_luhn(only_digits(number.group())):
            yield Span("카드번호", number.start(), number.end())
    for number in _AMEX.finditer(text):
        yield Span("카드번호", number.start(), number.end())
    for number in _SOLID.finditer(text):
        digits = only_digits(number.group())
        if (len(digits) == SIXTEEN and passes_luhn(digits)) or (
            has_word and (len(digits) <= SIXTEEN or passes_luhn(digits))
        ):
            yield Span("카드번호", number.start(), number.end())


def _find_backs(text: str) -> Iterator[Span]:
    for number in _BACK.finditer(text):
        yield Span("카드번호", number.start(1), number.end(1))


def passes_luhn(digits: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1)."""
    total = 0
    for place, sign in enumerate(reversed(digits)):
        value = int(sign) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


CARDS: Final = Family("카드번호", long_number, _find, needs_digit=True)
CARD_BACKS: Final = Family("카드번호", re.compile("cv|CV|보안|씨브").search, _find_backs, needs_digit=True)
