"""Cleans texts until they may be said to a child: no markup, no phones, no emoji, whole syllables."""

from __future__ import annotations

import html
import re
import unicodedata

MAX_NAME = 60
MAX_MESSAGE = 120
MAX_SNIPPET = 60

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0xFFE6: 0x20A9}
# Emoji and the signs that join and colour them; Hangul, Latin, punctuation and ₩ ℃ stay.
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\U000e0020-\U000e007f\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\ufe00-\ufe0f\u200d\u20e3]+"
)
_TAG = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>|</?[a-zA-Z][^<>]{0,300}>", re.IGNORECASE | re.DOTALL)
_BREAKS_LINE = re.compile(r"</?(?:br|p|div|li|tr|td|h\d)\b", re.IGNORECASE)
_TOKEN = re.compile(r"<\|[^|<>]{0,40}\|>|\[/?INST\]")
_INVISIBLE = re.compile(r"[\u200b-\u200c\u200e\u200f\u2028-\u202f\u2060-\u2064\ufeff\u00ad\x00-\x08\x0b-\x1f\x7f]")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+\s?@\s?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_WEB = re.compile(r"(?:https?://|www\.)[^\s가-힣]+", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<!\d)(?:\+?82[\s.-]?\d{1,2}|\(?0\d{1,2}\)?)[\s.-]?\d{3,4}[\s.-]?\d{4}(?!\d)|(?<!\d)1[568]\d\d[\s.-]?\d{4}(?!\d)"
)
_SPELLED_PHONE = re.compile(r"[공영일이삼사오육칠팔구](?:[\s-]?[공영일이삼사오육칠팔구]){7,}")
_CLAUSE = re.compile(r"[^,.!?\n]+[,.!?\n]*")
_LONG_NUMBER = re.compile(r"\d(?:[\s.-]?\d){6,}")
# 사케동 is rice with salmon, not the drink; a bare 와인 in a sauce still counts, because careful is cheap here.
_NOT_FOR_CHILDREN = re.compile(
    r"소주|맥주|막걸리|동동주|와인|하이볼|위스키|보드카|칵테일|샴페인|사케(?!동)|청주\b|생맥|호프|주점|술집|유흥|주류"
    r"|담배|궐련|성인 ?용"
)

_SURNAMES = (
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진지엄채원천방공현함변염추도소석선설"
    "마길연위표명기반왕금옥육인맹제모탁국어은편용"
)
_PERSON = re.compile(
    rf"(?<![가-힣])[{_SURNAMES}][가-힣]{{2}}(?:이가|이랑|랑|님|씨|이|가|은|는|에게|한테|올림|드림|\s*(?:선생|원장|점장))"
    r"|(?:우리|저희)\s*[가-힣]{2,3}(?:이|가|는|은)(?![가-힣])|[가-힣]{2,4}\s*올림|이름은"
)
# Words that look like a surname with a given name, or that call somebody without naming anybody.
_NOBODY = re.compile(
    r"(?:사장|선생|손|고객|주인|점장|어머|아버|이모|누|형|알바생?|직원)님|주인분|사장분|기다리|고구마|서비스|김치전|오징어|주차장"
)
_PRIVATE = re.compile(
    r"초등학교|중학교|고등학교|어린이집|유치원|학원|학년|\d|@|카톡|카카오|인스타|아이디|전화|번호|연락|주소|아파트"
    r"|살이에요|살인데"
)


def plain(text: str) -> str:
    """Hangul put together (NFC) and full-width letters made plain; compatibility forms stay (NFKC would harm ㅋㅋ)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_FULL_WIDTH)


def clean(text: str) -> tuple[str, tuple[str, ...]]:
    """A text as one line that may be said to a child, and the rules that it broke, in the order of mending."""
    rules: list[str] = []

    def mend(rule: str, mended: str) -> None:
        nonlocal text
        if mended != text:
            rules.append(rule)
            text = mended

    mend("decomposed_hangul", unicodedata.normalize("NFC", text))
    mend("full_width", text.translate(_FULL_WIDTH))
    mend("control_token", _TOKEN.sub(" ", text))
    mend("html", _strip_html(text))
    mend("control_token", _TOKEN.sub(" ", text).replace("|", "/"))
    mend("emoji", _EMOJI.sub(" ", text))
    for rule, contact in (("web_address", _WEB), ("email", _EMAIL), ("phone", _PHONE), ("phone", _SPELLED_PHONE)):
        mend(rule, _without_clauses(text, contact))
    return _one_line(text), tuple(dict.fromkeys(rules))


def _strip_html(text: str) -> str:
    """Tags gone, entities resolved; twice, for entities that hide tags."""
    for _ in range(2):
        text = _TAG.sub(lambda tag: " " if _BREAKS_LINE.match(tag[0]) else "", text)
        text = html.unescape(text).replace("\xa0", " ")
    return text


def _without_clauses(text: str, contact: re.Pattern[str]) -> str:
    """The text without the clauses that say how to reach somebody: bare of the number they would make no sense."""
    if not contact.search(text):
        return text
    marked = contact.sub("\0", text)
    return " ".join(clause.strip() for clause in _CLAUSE.findall(marked) if "\0" not in clause)


def _one_line(text: str) -> str:
    text = re.sub(r"\s+", " ", _INVISIBLE.sub("", text))
    text = re.sub(r"\s+([,.!?)\]])", r"\1", text)
    return re.sub(r"\(\s*\)|\[\s*\]", "", text).strip(" ,/·")


def has_long_number(text: str) -> bool:
    """A run of seven or more digits may be an account or a phone: such a text is not used at all."""
    return bool(_LONG_NUMBER.search(text))


def not_for_children(text: str) -> bool:
    """True when a text offers alcohol or tobacco."""
    return bool(_NOT_FOR_CHILDREN.search(text))


def is_personal(text: str) -> bool:
    """True when a text may name a person, a school, a home or a number; doubtful ones count as personal."""
    bare = _NOBODY.sub("", text)
    return bool(_PRIVATE.search(bare) or _PERSON.search(bare))


def name_key(text: str) -> str:
    """A name as names are compared: without white space, punctuation and case."""
    return re.sub(r"[\W_]+", "", plain(text)).casefold()


def shorten(text: str, limit: int) -> str | None:
    """The first whole sentences within `limit` characters; None when even the first is longer."""
    if len(text) <= limit:
        return text
    cut = max(text.rfind(mark, 0, limit) for mark in (". ", "! ", "? ", "요 "))
    return text[: cut + 1].strip() if cut > 0 else None
