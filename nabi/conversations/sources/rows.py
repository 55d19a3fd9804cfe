"""What a reader yields for each row of an export: accepted with its conversation, or refused with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from nabi.conversations.records import Conversation
from nabi.personas.model import Persona

UNUSABLE_ROW = "unusable row"
"""The row itself is at fault; the reason says what is wrong with it."""

NO_PERMISSION = "no permission"
"""Nobody agreed, and the persona declares no basis. The words of such a row are not kept."""

NO_PERSONA = "no persona"
"""No persona that is declared here learns from it. The words of such a row are not kept."""

OTHER_PERSONA = "another persona's"
"""The caller asked for one persona's rows, and this is another's. Its words are not kept under the wrong name."""

ANSWERS_NOTHING = "answers nothing"
"""A well-formed utterance of a meeting that follows nothing it could answer."""


@dataclass(frozen=True)
class Accepted:
    """A row that became a conversation.

    Args:
        line: counts from 1.
        speaker: who says the answer, as the file names them; None where a file names nobody.
    """

    line: int
    conversation: Conversation
    speaker: str | None = None


@dataclass(frozen=True)
class Refused:
    """A row that did not.

    Args:
        line: counts from 1.
        field: the field at fault, e.g. messages[2].role; empty when the row as a whole is.
        reason: the rule that was broken.
        excerpt: the row as delivered, shortened when it is long, the user's id replaced; of rows that nobody
            permitted only size and digest.
        persona_id: whose row it is, as far as it says so in a usable way.
        user_key: keyed hash of the user's id, where the row has a usable one.
        phrase: the kind of reason, one of the constants of this module, to be counted.
        speaker: as in `Accepted`.
    """

    line: int
    field: str
    reason: str
    excerpt: str
    persona_id: str | None = None
    user_key: str | None = None
    phrase: str = UNUSABLE_ROW
    speaker: str | None = None


Row = Accepted | Refused


@dataclass(frozen=True)
class Delivery:
    """What a reader is told about a file besides its path.

    Args:
        key: of the users' hashes, see `nabi.conversations.keys`.
        persona_id: the persona all rows belong to, a row that names another is refused; None: each row says.
        personas: who is known here, by id: their speakers and bases. Empty: rows are not held to it, and
            rows that need a persona's speaker, agent or basis are refused.
        golden: request id → golden answer, which replaces the label of a search log.
        happened_at: when it was said, for files that do not tell.
    """

    key: bytes
    persona_id: str | None = None
    personas: Mapping[str, Persona] = field(default_factory=lambda: MappingProxyType({}))
    golden: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    happened_at: datetime | None = None


Reader = Callable[[Path, Delivery], Iterator[Row]]
"""Reads an export row by row. Raises DataError only when the file cannot be opened."""
