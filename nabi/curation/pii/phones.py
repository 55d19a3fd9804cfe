"""Telephone numbers: mobile, landline, internet and service numbers, written, starred out or spelled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span
from nabi.curation.pii.numbers import ALONE, GAP, OVER, SPELLED, SPOKEN_GAP, STAR, long_number

_DIGIT = rf"(?:[0-9]|{STAR})"
_LETTERED_DIGIT = rf"(?:[0-9oOlI]|{STAR})"
_AREA = r"2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|80|50[2-8]|30"
_SERVICE = "1522|1533|1544|1566|1577|1588|1599|1600|1644|1661|1666|1668|1670|1688|1800|1811|1833|1855|1877|1899"
_UNIT = r" ?(?:원|명|개|회|년|시|점|km|kg|g|m|ml|분|위|번지|칼로리|kcal|건|쪽|포인트)"

_WRITTEN: Final = re.compile(
    rf"{ALONE}(?:(?:\+|00)?82{GAP}\(?0?\)?|\(?0)(?:1[016789]|{_AREA}){GAP}{_DIGIT}{{3,4}}{GAP}{_DIGIT}{{4}}{OVER}"
    rf"|{ALONE}0[ .]?1[ .]?[016789](?:[ .\-]{{0,3}}[0-9]){{7,8}}{OVER}"
)
_LETTERED: Final = re.compile(
    rf"{ALONE}[0oOㅇ][1lI|][0oOㅇ]{GAP}{_LETTERED_DIGIT}{{3,4}}{GAP}{_LETTERED_DIGIT}{{4}}{OVER}"
)
_SERVICE_NUMBER: Final = re.compile(rf"{ALONE}(?:{_SERVICE}){GAP}[0-9]{{4}}{OVER}(?!{_UNIT})")
_OPENING_HOURS: Final = re.compile(r"1[68]00 ?[\-~] ?(?:1[6-9]|2[0-4])[0-5]0")
_LOCAL: Final = re.compile(
    rf"(?:전화(?: ?번호)?|(?<![가-힣])번호|연락처|휴대폰(?: ?번호)?|핸드폰(?: ?번호)?|폰 ?번호|폰|콜|tel|TEL|"
    rf"☎)[가-힣]{{0,2}}[ "
    rf":]{{0,3}}([1-9][0-9]{{2,3}}[\- .]?[0-9]{{4}}){OVER}(?!{_UNIT})"
)
_SPOKEN: Final = re.compile(
    rf"(?<![0-9{SPELLED}])[0공영빵oO][ .]?[1일하]나?[ .]?[0공영빵oO일육칠팔구16789]{SPOKEN_GAP}"
    rf"[0-9{SPELLED}천백십oO](?:{SPOKEN_GAP}[0-9{SPELLED}천백십oO]){{6,12}}(?![0-9{SPELLED}])"
)


_SPOKEN_BEGINNING: Final = re.compile(r"[0공영빵oO][ .]?[1일하]나?[ .]?[0공영빵oO일육칠팔구16789]")
_SPELLED_DIGIT: Final = re.compile(f"[{SPELLED}]")
_LETTERED_BEGINNING: Final = re.compile(r"[0oOㅇ][1lI|][0oOㅇ]")


def _find(text: str) -> Iterator[Span]:
    for number in _WRITTEN.finditer(text):
        yield Span("전화번호", number.start(), number.end())
    for number in _SERVICE_NUMBER.finditer(text):
        if not _OPENING_HOURS.fullmatch(number.group()):
            yield Span("전화번호", number.start(), number.end())
    for number in _LOCAL.finditer(text):
        yield Span("전화번호", number.start(1), number.end(1))


def _find_spoken(text: str) -> Iterator[Span]:
    for number in _SPOKEN.finditer(text):
        if len(_SPELLED_DIGIT.findall(number.group())) >= 3:
            yield Span("전화번호", number.start(), number.end())


def _find_lettered(text: str) -> Iterator[Span]:
    for number in _LETTERED.finditer(text):
        yield Span("전화번호", number.start(), number.end())


PHONES: Final = Family("전화번호", long_number, _find, needs_digit=True)
LETTERED_PHONES: Final = Family("전화번호", _LETTERED_BEGINNING.search, _find_lettered)
SPOKEN_PHONES: Final = Family("전화번호", _SPOKEN_BEGINNING.search, _find_spoken)
