"""Inserting many rows, skipping those that are there already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from nabi.database.tables import Base

T = TypeVar("T")

BATCH = 500
"""Rows in one statement: 500 rows of 20 columns stay below SQLite's 32,766 parameters."""


def insert_new(session: Session, table: type[Base], rows: Iterable[dict[str, Any]]) -> int:
    """Insert the rows whose key is not there yet, and return how many those were.

    Rows stream: only `BATCH` of them are held in memory.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    num_new = 0
    for batch in batches(rows):
        result = session.execute(insert(table).values(batch).on_conflict_do_nothing())
        num_new += cast("CursorResult[Any]", result).rowcount
    return num_new


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
