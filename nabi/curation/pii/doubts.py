"""What may be a secret but is none that is known: long runs of digits or digit words that nothing explains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from nabi.curation.pii.numbers import NATIVE, SPELLED, SPOKEN_GAP, only_digits, spelled_number

DoubtReason = Literal["long number", "spelled number"]


class Suspect(NamedTuple):
    """Characters `start` to `end` (exclusive) of the folded text."""

    reason: DoubtReason
    start: int
    end: int


ENOUGH_DIGITS: Final = 7
"""From here on a number can be a telephone, an account or a registration number; prices are explained by 원."""

_RUN: Final = re.compile(r"[0-9](?:[ .\-_/~()]{0,3}[0-9*])*")
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")
_MOMENT: Final = re.compile(
    r"(?:(?:(?:19|20)[0-9]{2}[ ]?[\-./][ ]?[01]?[0-9][ ]?[\-./][ ]?[0-3]?[0-9]\.?|20[2-9][0-9](?:0[1-9]|"
    r"1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:19|20)[0-9]{2}|[01]?[0-9][./][0-3]?[0-9])(?:[ ]?[~\-][ ]?|[ ]{1,3}|$))*(?:[0-2]?[0-9](?:[ ]?[~\-][ ]?|"
    r"$)){0,2}|[0-2][0-9][0-5]0 ?[~\-] ?[0-2][0-9][0-5]0"
)
_UNIT_AFTER: Final = re.compile(
    r" ?(?:원|명|회|개|건|표|점|위(?!로)|번째|km|m(?![a-z])|kg|g(?![a-z])|ml|L|kcal|칼로리|%|퍼센트|포인트|뷰|"
    r"만|억|천|조|년|시|분|초|도|장|권|종|"
    r"배|살|인분|곳|팩|톤|평|byte|MB|GB)"
)
_EXPLAINED_BEFORE: Final = re.compile(
    r"(?:주문 ?번호|상품 ?번호|바코드|품번|원주율|버전|ver\.?|v)[가-힣]{0,2}[ :#]{0,3}$", re.IGNORECASE
)
_DECIMAL: Final = re.compile(r"[0-9]{1,2}\.[0-9]+")
_SHORT_LIST: Final = re.compile(r"[0-9]{1,2}(?:[ .,~()]{1,3}[0-9]{1,2})*")

_SPELLED_RUN: Final = re.compile(rf"(?:{NATIVE}|[0-9{SPELLED}])(?:{SPOKEN_GAP}(?:{NATIVE}|[0-9{SPELLED}])){{6,}}")
ENOUGH_SPELLED: Final = 3
"""Words among the digits: in "123456이에요" the 이 is no two."""

_COUNTING: Final = (
    "하나둘셋넷다섯여섯일곱여덟아홉",
    "일이삼사오육칠팔구",
    "영일이삼사오육칠팔구",
    "구팔칠육오사삼이일",
)


def find_doubts(text: str) -> Iterator[Suspect]:
    """Runs of seven or more in a folded text from which everything sure is gone already."""
    for run in _RUN.finditer(text):
        if len(only_digits(run.group())) >= ENOUGH_DIGITS and not _is_explained(text, run):
            yield Suspect("long number", run.start(), run.end())
    if spelled_number(text):
        for run in _SPELLED_RUN.finditer(text):
            if _is_spelled_secret(run.group()):
                yield Suspect("spelled number", run.start(), run.end())


def _is_explained(text: str, run: re.Match[str]) -> bool:
    """A date, an amount with its unit, a decimal fraction, or a list of small numbers."""
    number = run.group()
    if _GROUPED.match(text, run.start()) or (run.start() > 0 and text[run.start() - 1] == ","):
        return True
    if _MOMENT.fullmatch(number) or _DECIMAL.fullmatch(number) or _is_list(number):
        return True
    if _UNIT_AFTER.match(text, run.end()) and (number.isdigit() or _has_short_groups(number)):
        return True
    return bool(_EXPLAINED_BEFORE.search(text, max(0, run.start() - 14), run.start()))


def _is_list(number: str) -> bool:
    """Small numbers side by side; single digits only where they count on, for read out they may be a telephone's."""
    digits = only_digits(number)
    singles = all(len(group) == 1 for group in re.findall("[0-9]+", number))
    counts_on = all(int(after) == int(before) + 1 for before, after in pairwise(digits))
    return bool(_SHORT_LIST.fullmatch(number)) and (counts_on if singles else number[0] != "0")


def _has_short_groups(number: str) -> bool:
    """ "3000 4000원", "3500~4500원": amounts beside each other."""
    return all(len(group) <= 6 for group in re.split(r"[ ~/\-]+", number)) and "." not in number and number[0] != "0"


def _is_spelled_secret(run: str) -> bool:
    """Not a plain 7,654,321, and not counting aloud."""
    bare = re.sub(r"[ .,\-]|에|다시|하이픈|대시|빼기", "", run)
    if len(re.sub("[0-9]", "", bare)) < ENOUGH_SPELLED:
        return False
    return not any(bare in row for row in _COUNTING)
