"""E-mail addresses, also with blanks around the sign, and with 골뱅이, (at) or at in its place.

The local part is Latin, so that what is said before it stays; a particle after it is no part of it either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span

_LOCAL = r"[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}"
_HOST = r"[A-Za-z0-9\-]+(?: ?\. ?[A-Za-z0-9\-]+)*? ?\. ?[A-Za-z]{2,}(?:\.[A-Za-z]{2,})*"
_KNOWN = (
    r"(?:naver|gmail|daum|hanmail|kakao|nate|outlook|hotmail|네이버|지메일|다음|한메일|카카오|네이트|핫메일|아웃룩)"
    r"(?: ?(?:\.|닷|점|쩜|dot|\(dot\)) ?(?:com|net|컴|넷|co\.kr))?"
)
_DOTTED = r"[A-Za-z0-9\-]+(?: ?(?:\(dot\)|\[dot\]| dot |닷|쩜) ?[A-Za-z]{2,})+"
_AT = r"(?: {0,2}@ {0,2}| ?골뱅이 ?| ?[(\[](?-i:at|AT|At)[)\]] ?)"

_ADDRESS: Final = re.compile(
    rf"(?:{_LOCAL}|(?<![가-힣])[가-힣]{{1,8}}(?=@)){_AT}(?:{_HOST}|{_DOTTED}|{_KNOWN})|{_LOCAL} (?-i:at|AT|At) "
    rf"(?:{_HOST}|{_DOTTED}|{_KNOWN})",
    re.IGNORECASE,
)
_sign = re.compile(r"@|골뱅이|\(at|\[at|\(AT|\[AT|\(At|\[At| at | AT | At ").search


def _find(text: str) -> Iterator[Span]:
    for address in _ADDRESS.finditer(text):
        yield Span("이메일", address.start(), address.end())


EMAILS: Final = Family("이메일", _sign, _find)
