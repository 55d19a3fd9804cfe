"""What is looked for, and the placeholder that stands in its place afterwards."""

from __future__ import annotations

import re
from typing import Final, Literal

Kind = Literal[
    "이메일",
    "주민등록번호",
    "외국인등록번호",
    "카드번호",
    "전화번호",
    "면허번호",
    "여권번호",
    "사업자등록번호",
    "계좌번호",
    "차량번호",
    "생년월일",
    "주소",
    "비밀번호",
    "아이디",
    "이름",
]

KINDS: Final[tuple[Kind, ...]] = (
    "이메일",
    "주민등록번호",
    "외국인등록번호",
    "카드번호",
    "전화번호",
    "면허번호",
    "여권번호",
    "사업자등록번호",
    "계좌번호",
    "차량번호",
    "생년월일",
    "주소",
    "비밀번호",
    "아이디",
    "이름",
)
"""Most telling first: where two recognisers see the same characters, the earlier kind names the placeholder."""

PLACEHOLDER: Final = re.compile("<(?:" + "|".join(KINDS) + ")>")
"""What masking writes; never searched again."""


def placeholder(kind: Kind) -> str:
    """`<전화번호>` for a phone number, and so on."""
    return f"<{kind}>"
