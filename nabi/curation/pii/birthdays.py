"""Birthdays: a date beside a word about being born. Dates of events, and 생일 파티, stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span

_YEAR = r"(?:(?:19|20)[0-9]{2}|'?[0-9]{2})"
_COUNT = "(?:[일이삼사오육유칠팔구시십]{1,4})"
_DATE = (
    rf"(?:(?:음력|양력) ?)?(?:{_YEAR} ?년 ?[0-9]{{1,2}} ?월 ?[0-9]{{1,2}} ?일|[0-9]{{1,2}} ?월 ?[0-9]{{1,2}} ?일|"
    rf"{_COUNT}월 ?{_COUNT}일"
    rf"|{_YEAR} ?[\-./] ?[0-9]{{1,2}} ?[\-./] ?[0-9]{{1,2}}\.?|(?:19|20)[0-9]{{6}}|[0-9]{{6}}|[0-9]{{1,2}} "
    rf"?[/.\-] ?[0-9]{{1,2}})(?![0-9])"
)
_FULL = (
    rf"(?:{_YEAR} ?년 ?[0-9]{{1,2}} ?월 ?[0-9]{{1,2}} ?일|(?:19|20)[0-9]{{2}} ?[\-./] ?[0-9]{{1,2}} ?[\-./] "
    rf"?[0-9]{{1,2}}\.?|[0-9]{{1,2}} ?월 ?[0-9]{{1,2}} ?일)"
)

_AFTER_WORD: Final = re.compile(
    rf"(?:생일(?:날)?|생신|생년 ?월 ?일|출생 ?(?:일자?|년월일)|태어난 ?(?:날|때)|귀빠진 ?날)"
    rf"(?:은|는|이|가|을|만|도|이요|은요)?(?: ?언제냐면| ?여섯 ?자리| ?앞 ?(?:자리)?)?[ :=,?]{{0,3}}(?:매년 "
    rf"?)?({_DATE})(?! ?(?:부터|까지))"
)
_BEFORE_WORD: Final = re.compile(
    rf"({_FULL})(?: ?생(?![각산선방수존활일신])(?:이|인|입|으로|[^가-힣]|$)| ?출생|에? ?(?:서울에서 |부산에서 )?태어)"
    rf"|({_DATE})(?:이|가|은|는)? ?(?:제|내|저의|나의|저희 [가-힣]{{1,3}}|우리 [가-힣]{{1,3}}|아이|동생|엄마|"
    rf"아빠|친구)? ?(?:생일|생신|"
    rf"생년월일)(?:이에요|예요|입니다|이야|인데|이라|이고|이라서|임|이래)"
)
_hint = re.compile("생(?:일|신|년|(?<=[0-9일.]생)|(?<=[0-9일.] 생))|출생|태어|귀빠진").search


def _find(text: str) -> Iterator[Span]:
    for date in _AFTER_WORD.finditer(text):
        yield Span("생년월일", date.start(1), date.end(1))
    for date in _BEFORE_WORD.finditer(text):
        group = 1 if date[1] else 2
        yield Span("생년월일", date.start(group), date.end(group))


BIRTHDAYS: Final = Family("생년월일", _hint, _find)
