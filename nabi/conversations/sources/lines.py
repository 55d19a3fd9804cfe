"""The lines of a text file that may be UTF-8, UTF-16 or CP949, damaged, or far too long.

A line is decoded rightly or not at all. Bytes of a damaged UTF-8 line can happen to be valid CP949, so validity
decides nothing by itself: what counts is the rest of the file, and whether the outcome is usual Korean. UTF-16 is
told by its mark at the start of the file (BOM).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from nabi.errors import DataError

MAX_LINE_BYTES = 1 << 20
"""A conversation of a megabyte is no conversation; the limit also bounds the memory of a reader."""

USUAL_SHARE = 0.8
"""A line is CP949 when more than this share of its characters is usual; UTF-8 reaches 4 of 5 at most."""

PROOF_PAIRS = 3
"""Two-byte characters that a line needs to prove its file's encoding; see `is_usual_cp949`."""

BOM = codecs.BOM_UTF8

WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Marks of UTF-16, with the codec that each calls for."""

_CHUNK = 1 << 16

Encoding = Literal["utf-8", "cp949"]


@dataclass(frozen=True)
class Line:
    """One line, numbered from 1, without its line end. `text` is None when `problem` says why."""

    number: int
    text: str | None
    problem: str
    raw: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file, blank ones left out, one in memory at a time.

    Raises:
        DataError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            wide = WIDE.get(file.read(2))
            if wide:
                yield from _wide_lines(file, wide)
                return
        encoding = _guess_encoding(path)
        with path.open("rb") as file:
            for number, raw, whole in _split(file):
                if raw.strip() or not whole:
                    yield _decode(number, raw, whole, encoding)
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}.", where=str(path)) from error


def _guess_encoding(path: Path) -> Encoding:
    """What most lines with other than ASCII characters are. Reads the whole file once."""
    num_utf8 = num_cp949 = 0
    with path.open("rb") as file:
        for _number, raw, whole in _split(file):
            if raw.isascii() or not whole:
                continue
            if _decodes(raw, "utf-8"):
                num_utf8 += 1
            elif is_usual_cp949(raw, PROOF_PAIRS):
                num_cp949 += 1
    return "cp949" if num_cp949 > num_utf8 else "utf-8"


def _split(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Number, bytes and whether these are the whole line; the rest of a line that is too long is skipped."""
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        whole = raw.endswith(b"\n") or len(raw) <= MAX_LINE_BYTES
        if not whole:
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
        yield number, raw.removeprefix(BOM if number == 1 else b"").rstrip(b"\r\n"), whole


def _wide_lines(file: BinaryIO, encoding: str) -> Iterator[Line]:
    """The lines of the rest of a UTF-16 file."""
    for number, raw, whole in _split_wide(file, "\n".encode(encoding)):
        try:
            text = raw.decode(encoding).rstrip("\r") if whole else "-"
        except UnicodeDecodeError as error:
            yield Line(number, None, f"the row is no valid UTF-16 (byte {error.start + 1})", raw)
            continue
        if not whole:
            yield Line(number, None, f"the row is longer than {MAX_LINE_BYTES:,} bytes", raw)
        elif text.strip():
            yield Line(number, text, "", raw)


def _split_wide(file: BinaryIO, newline: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Like `_split`, for characters of two bytes, where a line end is one only at an even place."""
    number = 1
    piece = b""
    while chunk := file.read(_CHUNK):
        start = place = 0
        while (place := chunk.find(newline, place)) >= 0:
            if place % 2:
                place += 1
                continue
            piece += chunk[start:place]
            yield number, piece[: MAX_LINE_BYTES + 1], len(piece) <= MAX_LINE_BYTES
            number, piece = number + 1, b""
            start = place = place + 2
        piece = (piece + chunk[start:])[: MAX_LINE_BYTES + 2]
    if piece:
        yield number, piece, len(piece) <= MAX_LINE_BYTES


def _decode(number: int, raw: bytes, whole: bool, encoding: Encoding) -> Line:
    if not whole:
        return Line(number, None, f"the row is longer than {MAX_LINE_BYTES:,} bytes", raw)
    if encoding == "cp949" and not raw.isascii() and not is_usual_cp949(raw):
        return Line(number, None, "the row is no valid CP949, as the rest of the file is", raw)
    try:
        return Line(number, raw.decode(encoding), "", raw)
    except UnicodeDecodeError as error:
        return Line(number, None, f"the row is no valid UTF-8 (byte {error.start + 1})", raw)


def is_usual_cp949(raw: bytes, min_pairs: int = 1) -> bool:
    """True for Korean as people type it: nearly all characters from KS X 1001's symbols and 2,350 syllables.

    In UTF-8 Hangul one byte of three is 0xEA to 0xED, so that among any three pairs of its bytes one begins with
    it: rare hanja in CP949. Two pairs may hold none, so fewer than three prove nothing about a file.
    """
    if not _decodes(raw, "cp949"):
        return False
    pairs = _double_bytes(raw)
    num_usual = sum(_is_usual_pair(lead, trail) for lead, trail in pairs)
    return len(pairs) >= min_pairs and num_usual > USUAL_SHARE * len(pairs)


def _is_usual_pair(lead: int, trail: int) -> bool:
    """In KS X 1001's rows of symbols (0xA1 to 0xAC) or of syllables (0xB0 to 0xC8)."""
    return trail >= 0xA1 and (0xA1 <= lead <= 0xAC or 0xB0 <= lead <= 0xC8)


def _double_bytes(raw: bytes) -> list[tuple[int, int]]:
    """The two-byte characters of valid CP949 text."""
    pairs = []
    place = 0
    while place < len(raw):
        if raw[place] < 0x80:
            place += 1
        else:
            pairs.append((raw[place], raw[place + 1]))
            place += 2
    return pairs


def _decodes(raw: bytes, encoding: Encoding) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
