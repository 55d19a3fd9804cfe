"""How digits stand in chat: grouped by blanks, dots or dashes, partly starred out, or spelled as 공일공."""

from __future__ import annotations

import re
from typing import Final

GAP: Final = r"[ .\-_/~()]{0,3}"
"""What people put between the groups of one number."""

STAR: Final = r"[*xX#]"
"""What stands for a digit that was blotted out."""

ALONE: Final = r"(?<![0-9])(?<![0-9][\-._/])"
"""The number does not go on to the left."""

OVER: Final = r"(?![0-9])"
"""The number does not go on to the right."""

long_number: Final = re.compile(rf"[0-9](?:{GAP}[0-9*xX#]){{6}}").search
"""Every number that is a secret by itself has seven digits or more; so has every run that nobody can explain."""

SPELLED: Final = "공영빵일이삼사오육륙칠팔구"
SPOKEN_GAP: Final = r"(?: ?(?:에|다시|하이픈|대시|빼기) ?|[ .,\-]{0,3})"
"""What is said between digits: 공일공에 일이삼사 다시 오육칠팔."""

NATIVE: Final = "하나|둘|셋|넷|다섯|여섯|일곱|여덟|아홉"

SPELLED_PATTERNS: Final = (
    re.compile(rf"[0-9{SPELLED}oO](?:{SPOKEN_GAP}[0-9{SPELLED}oO]){{6}}"),
    re.compile(NATIVE),
)
"""One of them matches wherever `spelled_number` is true."""

_spelled_run, _native_hint = (pattern.search for pattern in SPELLED_PATTERNS)
_NATIVE_RUN = re.compile(rf"(?:{NATIVE}|[0-9{SPELLED}])(?:{SPOKEN_GAP}(?:{NATIVE}|[0-9{SPELLED}])){{6}}")


def spelled_number(text: str) -> bool:
    """True where seven digits or digit words follow each other."""
    return bool(_spelled_run(text) or (_native_hint(text) and _NATIVE_RUN.search(text)))


def only_digits(text: str) -> str:
    """The digits of it, without what stands between them."""
    return re.sub(r"[^0-9]", "", text)


def is_date(digits: str) -> bool:
    """True when six digits can be read as year, month, day."""
    return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31
