"""What the characters of an answer alone tell: its alphabet, its sentences, its repetitions, its damage."""

from __future__ import annotations

import re
import unicodedata

MAX_DUPLICATE_SHARE = 0.4
"""Above it an answer runs in circles: bad lines of Korean chat lie at 0.69 and more, normal ones at 0.12 or less."""

_NGRAM = 4
_MIN_NGRAMS = 8
"""Below it (11 characters) a share says nothing: "네네네네네" is a word, not a loop."""

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ\u1100-\u11ff]")
_LATIN = re.compile(r"[A-Za-z]")
_SENTENCE_END = re.compile(r"(?<=[.!?~…。])(?!\d)\s*|\n+")
_WORD_CHARACTER = re.compile(r"\w")
_SPECIAL_TOKEN = re.compile(r"<\|[^|>]*\|?>?|\[(?:INST|/INST|UNK|PAD)\]|</?s>")


def normalised(text: str) -> str:
    """NFC with full-width signs made narrow. Not NFKC, which turns `ㅋㅡ` into `크`."""
    return unicodedata.normalize("NFC", text).translate(_FULL_WIDTH)


def duplicate_share(text: str) -> float:
    """Share of character 4-grams, spaces left out, that occurred before in the text: 0 is none, near 1 is a loop."""
    squeezed = re.sub(r"\s+", "", text)
    ngrams = [squeezed[i : i + _NGRAM] for i in range(len(squeezed) - _NGRAM + 1)]
    if len(ngrams) < _MIN_NGRAMS:
        return 0.0
    return 1 - len(set(ngrams)) / len(ngrams)


def damaged_characters(text: str) -> list[str]:
    """Characters and marks that no answer may show: �, control codes, half-built Hangul, the template's own tokens."""
    damaged = [char for char in unicodedata.normalize("NFC", text) if _is_damaged(char)]
    return damaged + _SPECIAL_TOKEN.findall(text)


def _is_damaged(char: str) -> bool:
    if char in "\n\t":
        return False
    conjoining_jamo = "\u1100" <= char <= "\u11ff"
    return char == "\ufffd" or conjoining_jamo or unicodedata.category(char) in ("Cc", "Cs", "Co")


def letters_by_script(text: str) -> dict[str, int]:
    """Number of letters that are `hangul`, `latin` or of any `other` alphabet."""
    letters = [char for char in text if char.isalpha()]
    hangul = sum(1 for char in letters if _HANGUL.match(char))
    latin = sum(1 for char in letters if _LATIN.match(char))
    return {"hangul": hangul, "latin": latin, "other": len(letters) - hangul - latin}


def sentences(text: str) -> list[str]:
    """The sentences of an answer with their closing marks, each holding at least one letter or digit."""
    parts = (part.strip() for part in _SENTENCE_END.split(text))
    return [part for part in parts if _WORD_CHARACTER.search(part)]


def without_closing_marks(sentence: str) -> str:
    """A sentence without the punctuation, emoji and laughter (ㅋㅋ, ㅎㅎ, ㅠㅠ) after its last word."""
    return re.sub(r"(?:[\W_]|[ㅋㅎㅠㅜ])+$", "", sentence)
