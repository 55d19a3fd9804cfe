"""What a search can find, by itself: one item a line or one array of them, with the fields of `retrieved_items`.

Nobody said anything here, so these become no conversations: they are what a teacher is asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nabi.conversations.records import Fact
from nabi.conversations.sources import fields
from nabi.conversations.sources.documents import read_array, starts_an_array
from nabi.conversations.sources.fields import RowError
from nabi.conversations.sources.lines import read_lines
from nabi.conversations.sources.rows import Refused
from nabi.conversations.sources.search import LABELS, fact_of_item

NAME = LABELS["name"]
"""The label under which a fact holds what the item is called."""


@dataclass(frozen=True)
class Items:
    """The items of a file as facts, each once and in its order, and the rows that are none."""

    facts: tuple[Fact, ...]
    refused: tuple[Refused, ...]


def read_items(path: Path) -> Items:
    """Read items; each needs a name and something that is said about it.

    Raises:
        DataError: the file cannot be opened.
    """
    found: list[Fact] = []
    bad: list[Refused] = []
    for line in read_array(path) if starts_an_array(path) else read_lines(path):
        try:
            fact = fact_of_item(fields.parse(line), "item")
            if NAME not in fact:
                raise RowError("name", "the field is missing")
            if len(fact) == 1:
                raise RowError("", "nothing is said about the item but its name")
        except RowError as error:
            bad.append(fields.refused(line, error))
            continue
        if fact not in found:
            found.append(fact)
    return Items(tuple(found), tuple(bad))
