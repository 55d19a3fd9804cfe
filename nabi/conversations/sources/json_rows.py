"""Exports of one JSON object a row: the reading that chat logs, search logs and instruction sets share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nabi.conversations.records import Conversation
from nabi.conversations.sources.documents import read_array, starts_an_array
from nabi.conversations.sources.fields import Fields, RowError, key_in_text, key_of_user, or_none, parse, refused
from nabi.conversations.sources.lines import Line, read_lines
from nabi.conversations.sources.rows import Accepted, Delivery, Row


@dataclass(frozen=True)
class Made:
    """What a row became. `speaker`: see `rows.Accepted`."""

    conversation: Conversation
    speaker: str | None = None


Make = Callable[[Fields, Delivery], Made]
Owner = Callable[[Fields, Delivery], str]
KeyOf = Callable[[Fields, bytes], str | None]


def read_rows(path: Path, delivery: Delivery, make: Make, owner: Owner, key_of: KeyOf = key_of_user) -> Iterator[Row]:
    """Each row accepted or refused, in the order of the file.

    Args:
        path: JSON lines; or one JSON array of the rows, told by its first characters.
        make: the conversation of a row; raises RowError.
        owner: the persona of a row, which is told of a refused one too.
        key_of: the hash of the row's person, which is told of a refused one too.

    Raises:
        DataError: the file cannot be opened.
    """
    for line in read_array(path) if starts_an_array(path) else read_lines(path):
        yield _read_row(line, delivery, make, owner, key_of)


def _read_row(line: Line, delivery: Delivery, make: Make, owner: Owner, key_of: KeyOf) -> Row:
    row: Fields = {}
    try:
        row = parse(line)
        made = make(row, delivery)
        return Accepted(line.number, made.conversation, made.speaker)
    except RowError as error:
        whose = or_none(owner, row, delivery) or delivery.persona_id
        key = or_none(key_of, row, delivery.key) or key_in_text(line, delivery.key)
        return refused(line, error, persona_id=whose, key=key)
