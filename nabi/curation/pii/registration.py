"""Resident and foreigner registration numbers (주민등록번호, 외국인등록번호).

Six digits of birth, then seven whose first tells sex and century: 1–4, 9, 0 for citizens, 5–8 for foreigners. The
check digit is no condition: numbers given out since October 2020 have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span
from nabi.curation.pii.kinds import Kind
from nabi.curation.pii.numbers import ALONE, GAP, OVER, STAR, is_date, long_number, only_digits

_NUMBER: Final = re.compile(
    rf"{ALONE}([0-9](?:[ .]?[0-9]){{5}}){GAP}([0-9])((?:[ .]?[0-9]){{6}}|(?:[ .]?[0-9]){{0,5}}(?:[ "
    rf".]?{STAR}){{1,6}}){OVER}"
)
_AFTER_WORD: Final = re.compile(
    rf"(?:번호|자리)[은는이가로 :=]{{0,4}}([0-9]{{6}}-[0-9]|[0-9]{{6,7}}){OVER}(?!{GAP}(?:[0-9]|{STAR}){{6}})"
)
_WORD: Final = re.compile(
    r"(?:주민 ?(?:등록)? ?번호|외국인 ?(?:등록)? ?번호|앞 ?자리|뒷 ?자리|뒤 ?자리)[은는이가로 :=]{0,4}$"
)


def _finder(kind: Kind, seventh: str) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        for number in _NUMBER.finditer(text):
            if number[2] in seventh and is_date(only_digits(number[1])):
                yield Span(kind, number.start(), number.end())

    return find


def _find_after_word(text: str) -> Iterator[Span]:
    for number in _AFTER_WORD.finditer(text):
        if _WORD.search(text, max(0, number.start(1) - 20), number.start(1)):
            yield Span("주민등록번호", number.start(1), number.end(1))


RESIDENTS: Final = Family("주민등록번호", long_number, _finder("주민등록번호", "123490"), needs_digit=True)
FOREIGNERS: Final = Family("외국인등록번호", long_number, _finder("외국인등록번호", "5678"), needs_digit=True)
HALVES: Final = Family("주민등록번호", _AFTER_WORD.search, _find_after_word, needs_digit=True)
"""Half a number after its word: "주민번호 앞자리 900101"."""
