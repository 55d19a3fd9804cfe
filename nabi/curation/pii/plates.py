"""Vehicle plates: 12가3456, 123가 4567, 서울 12가 3456."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span

_REGIONS = "서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주"
_SYLLABLE = "[가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자허하호배]"
_UNIT = r" ?(?:원|명|개|년|점|회|g|kg|km|ml|kcal|분|시|대|만)"

_PLATE: Final = re.compile(rf"(?:(?:{_REGIONS}) ?)?(?<![0-9])[0-9]{{2,3}} ?{_SYLLABLE} ?[0-9]{{4}}(?![0-9])(?!{_UNIT})")
_OLD: Final = re.compile(rf"(?:{_REGIONS}) ?[0-9]{{1,2}} ?[가-힣] ?[0-9]{{4}}(?![0-9])(?!{_UNIT})")
_NEAR: Final = re.compile(r"차량? ?번호[가-힣]{0,2}[ :]{0,3}(?:뒷?자리 ?)?([0-9]{4})(?![0-9])(?!번)")


def _find(text: str) -> Iterator[Span]:
    for pattern in (_PLATE, _OLD):
        for plate in pattern.finditer(text):
            yield Span("차량번호", plate.start(), plate.end())


def _find_tails(text: str) -> Iterator[Span]:
    for plate in _NEAR.finditer(text):
        yield Span("차량번호", plate.start(1), plate.end(1))


PLATES: Final = Family("차량번호", re.compile("[0-9] ?[가-힣] ?[0-9]{4}").search, _find, needs_digit=True)
PLATE_TAILS: Final = Family("차량번호", re.compile("차량? ?번호").search, _find_tails, needs_digit=True)
"""Only the four last digits, after their word."""
