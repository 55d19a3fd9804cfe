"""Files that are one JSON document: decoded as a whole, then taken apart value by value with the lines they stand in.

Values before a mistake are read; what follows it is one refused row, since nobody can tell where values begin there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nabi.conversations.sources.lines import BOM, MAX_LINE_BYTES, PROOF_PAIRS, WIDE, Line, is_usual_cp949
from nabi.errors import DataError

MAX_DOCUMENT_BYTES = 64 << 20
"""A day of speech is a few megabytes of text; the limit bounds the memory, for a document is held as a whole."""

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Document:
    """A decoded file. Bytes that are no UTF-8 stay as lone surrogates, so that only the texts with them are refused.

    `text` is None when `problem` says why nothing can be read.
    """

    text: str | None
    problem: str
    raw: bytes


class BrokenJson(Exception):
    """The document is no valid JSON from some place on."""


def read_document(path: Path) -> Document:
    """The text of a file in UTF-8, UTF-16 or CP949.

    Raises:
        DataError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}.", where=str(path)) from error
    if len(raw) > MAX_DOCUMENT_BYTES:
        return Document(None, f"the document is longer than {MAX_DOCUMENT_BYTES:,} bytes", raw)
    if raw[:2] in WIDE:
        # Damage becomes U+FFFD, which no text may hold, so again only the texts with it are refused.
        return Document(raw[2:].decode(WIDE[raw[:2]], "replace"), "", raw)
    raw = raw.removeprefix(BOM)
    try:
        return Document(raw.decode(), "", raw)
    except UnicodeDecodeError:
        if is_usual_cp949(raw, PROOF_PAIRS):
            return Document(raw.decode("cp949"), "", raw)
        return Document(raw.decode("utf-8", "surrogateescape"), "", raw)


def starts_an_array(path: Path) -> bool:
    """True for a `.json` file that begins with a bracket: one array of rows, where `.jsonl` has one row a line.

    Raises:
        DataError: the file cannot be opened.
    """
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}.", where=str(path)) from error
    return start.removeprefix(BOM).replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n").startswith(b"[")


def read_array(path: Path) -> Iterator[Line]:
    """The values of a document that is one JSON array, each as if it stood on a line of its own.

    Raises:
        DataError: the file cannot be opened.
    """
    document = read_document(path)
    if document.text is None:
        yield Line(1, None, document.problem, document.raw)
        return
    scanner = JsonScanner(document.text)
    try:
        for _ in scanner.array():
            yield scanner.value()
        scanner.end()
    except BrokenJson as broken:
        yield scanner.rest(broken)


Standing = tuple[int, tuple[int, int]]
"""A place in a text, and the last place whose line was counted with that line."""


class JsonScanner:
    """Walks through a JSON text value by value, without building the whole."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._counted = (0, 1)  # a place, and the line that it stands in

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        match = _BLANK.match(self._text, self._place)
        self._place = match.end() if match else self._place
        return self._text[self._place : self._place + 1]

    def value(self) -> Line:
        """Take the next value, as text.

        Raises:
            BrokenJson: there is none; the place stays before it.
        """
        self.peek()
        start, number = self._place, self.line()
        self._place = self._end_of_value()
        text = self._text[start : self._place]
        raw = text.encode("utf-8", "backslashreplace")
        if len(raw) > MAX_LINE_BYTES:
            return Line(number, None, f"the row is longer than {MAX_LINE_BYTES:,} bytes", raw)
        return Line(number, text, "", raw)

    def array(self) -> Iterator[None]:
        """Stops before each value of the array that comes next; the caller takes it."""
        yield from self._members("[", "]")

    def object(self) -> Iterator[str]:
        """Stops before each value of the object that comes next, and says its key; the caller takes it."""
        for _ in self._members("{", "}"):
            if self.peek() != '"':
                raise BrokenJson("a key in quotes is missing")
            key = json.loads(self._text[self._place : (end := self._end_of_value())])
            self._place = end
            self._take(":")
            yield key

    def standing(self) -> Standing:
        """Where it stands, to come back to."""
        return self._place, self._counted

    def come_back(self, standing: Standing) -> None:
        """Stand again where it stood."""
        self._place, self._counted = standing

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self.peek():
            raise BrokenJson("there is more after the end")

    def line(self) -> int:
        """The line, from 1, of the next value."""
        place, number = self._counted
        number += self._text.count("\n", place, self._place)
        self._counted = (self._place, number)
        return number

    def rest(self, broken: BrokenJson) -> Line:
        """All that is left, as one row that cannot be read."""
        self.peek()
        rest = self._text[self._place :].encode("utf-8", "backslashreplace")
        return Line(self.line(), None, f"the file is no valid JSON from here on: {broken}", rest)

    def _members(self, opening: str, closing: str) -> Iterator[None]:
        self._take(opening)
        if self.peek() != closing:
            yield
            while self.peek() == ",":
                self._place += 1
                yield
        self._take(closing)

    def _take(self, sign: str) -> None:
        if self.peek() != sign:
            raise BrokenJson(f"{sign} is missing")
        self._place += 1

    def _end_of_value(self) -> int:
        try:
            return _DECODER.raw_decode(self._text, self._place)[1]
        except RecursionError as error:
            raise BrokenJson("it is nested too deeply") from error
        except json.JSONDecodeError as error:
            raise BrokenJson(error.msg) from error
        except ValueError as error:  # a whole number of more than 4,300 digits
            raise BrokenJson("it holds a number that cannot be read") from error
