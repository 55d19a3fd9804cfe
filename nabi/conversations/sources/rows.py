"""What a reader yields for each row of an export: accepted with its conversation, or refused with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nabi.conversations.records import Conversation


@dataclass(frozen=True)
class Accepted:
    """A row that became a conversation. Lines count from 1."""

    line: int
    conversation: Conversation


@dataclass(frozen=True)
class Refused:
    """A row that did not.

    Args:
        line: counts from 1.
        field: the field at fault, e.g. messages[2].role; empty when the row as a whole is.
        reason: the rule that was broken.
        excerpt: the row as delivered, shortened when it is long, the user's id replaced.
        persona_id: whose row it is, as far as it says so in a usable way.
        user_key: keyed hash of the user's id, where the row has a usable one.
    """

    line: int
    field: str
    reason: str
    excerpt: str
    persona_id: str | None = None
    user_key: str | None = None


Row = Accepted | Refused

Reader = Callable[[Path, str | None, bytes], Iterator[Row]]
"""Reads an export row by row: its path, the persona all rows belong to (None: each row says), the key of user ids."""
