"""Bank accounts: ten to sixteen digits beside a bank's name or a word about payments, on either side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span
from nabi.curation.pii.numbers import ALONE, OVER, long_number, only_digits

_BANKS = (
    "국민|KB|신한|우리|하나|농협|NH|기업|IBK|카카오|카뱅|토스|토뱅|케이뱅크|케뱅|새마을|신협|우체국|수협|제일|"
    "SC|씨티|시티|"
    "부산|대구|경남|광주|전북|제주|산업|KDB|축협|산림조합|저축은행|은행|뱅크|증권|금고"
)
_WORDS = "계좌|통장|입금|송금|이체|환불|예금주|회비|월세|보증금|정산|알바비|급식비|후원|지원금|계약금|보내|넣어|넣었"
_NEAR: Final = re.compile(f"{_BANKS}|{_WORDS}", re.IGNORECASE)
_NUMBER: Final = re.compile(
    rf"{ALONE}(?:[0-9]{{1,7}}(?:[ ]?[\-.][ ]?[0-9]{{1,8}}){{1,5}}|[0-9]{{2,7}}(?: [0-9]{{2,7}}){{1,4}}|"
    rf"[0-9]{{10,16}}){OVER}"
)
_REACH: Final = 25
"""Characters on either side in which the bank is looked for: "국민은행 제 계좌번호는 …", "… 으로 입금, 신한이에요"."""

_DATE: Final = re.compile(r"(?:19|20)[0-9]{2}[\-. ]+[0-9]{1,2}[\-. ]+[0-9]{1,2}")


def _find(text: str) -> Iterator[Span]:
    for number in _NUMBER.finditer(text):
        if not 10 <= len(only_digits(number.group())) <= 16 or _DATE.match(number.group()):
            continue
        start, end = number.span()
        if _NEAR.search(text, max(0, start - _REACH), start) or _NEAR.search(text, end, end + _REACH):
            yield Span("계좌번호", start, end)


ACCOUNTS: Final = Family("계좌번호", long_number, _find, needs_digit=True)
