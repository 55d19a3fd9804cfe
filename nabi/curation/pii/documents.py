"""Driver's licences, passports and business registration numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span
from nabi.curation.pii.numbers import ALONE, OVER, long_number, only_digits

_REGIONS = "서울|부산|대구|인천|광주|대전|울산|경기|강원|충북|충남|전북|전남|경북|경남|제주"
_LICENCE: Final = re.compile(
    rf"{ALONE}(?:1[1-9]|2[0-8])[ .\-]{{1,3}}[0-9]{{2}}[ .\-]{{1,3}}[0-9]{{6}}[ .\-]{{1,3}}[0-9]{{2}}{OVER}"
    rf"|(?:{_REGIONS})[ .\-]{{0,3}}[0-9]{{2}}[ .\-]{{1,3}}[0-9]{{6}}[ .\-]{{1,3}}[0-9]{{2}}{OVER}"
)
_LICENCE_SOLID: Final = re.compile(rf"{ALONE}[0-9]{{2}}[ .\-]?[0-9]{{2}}[ .\-]?[0-9]{{6}}[ .\-]?[0-9]{{2}}{OVER}")


def _find_licences(text: str) -> Iterator[Span]:
    for number in _LICENCE.finditer(text):
        yield Span("면허번호", number.start(), number.end())
    if "면허" in text:
        for number in _LICENCE_SOLID.finditer(text):
            yield Span("면허번호", number.start(), number.end())


LICENCES: Final = Family("면허번호", long_number, _find_licences, needs_digit=True)

_PASSPORT: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[MSRODGmsrodg][0-9]{3}[A-Za-z][0-9]{4}|[MSROD][0-9]{8})(?![0-9A-Za-z])"
)
_PASSPORT_NEAR: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{1,2}[ \-]?[0-9](?:[ \-]?[0-9A-Za-z]){1,3}(?:[ \-]?[0-9]){4,5}(?![0-9A-Za-z])"
)
_passport_hint = re.compile(r"[A-Za-z][ \-]?[0-9](?:[ \-]?[0-9A-Za-z]){1,3}(?:[ \-]?[0-9]){4}").search


def _find_passports(text: str) -> Iterator[Span]:
    pattern = _PASSPORT_NEAR if "여권" in text or "passport" in text.lower() else _PASSPORT
    for number in pattern.finditer(text):
        yield Span("여권번호", number.start(), number.end())


PASSPORTS: Final = Family("여권번호", _passport_hint, _find_passports, needs_digit=True)

_BUSINESS: Final = re.compile(rf"{ALONE}[0-9]{{3}}[ \-]{{0,3}}[0-9]{{2}}[ \-]{{0,3}}[0-9]{{5}}{OVER}")
_WEIGHTS: Final = (1, 3, 7, 1, 3, 7, 1, 3, 5)


def _find_businesses(text: str) -> Iterator[Span]:
    for number in _BUSINESS.finditer(text):
        digits = only_digits(number.group())
        if "사업자" in text or (is_business(digits) and "-" in number.group()):
            yield Span("사업자등록번호", number.start(), number.end())


def is_business(digits: str) -> bool:
    """The check digit of the National Tax Service's ten-digit numbers."""
    total = sum(int(sign) * weight for sign, weight in zip(digits, _WEIGHTS, strict=False))
    return (10 - (total + int(digits[8]) * 5 // 10) % 10) % 10 == int(digits[9])


BUSINESSES: Final = Family("사업자등록번호", long_number, _find_businesses, needs_digit=True)
