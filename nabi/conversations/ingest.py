"""Bringing an export in: every row ends up in the store, known already, or set apart with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nabi.conversations.sources.chat import MAX_EXCERPT_CHARS, read_chat_log
from nabi.conversations.sources.rows import Accepted, Reader, Refused
from nabi.conversations.store import ConversationStore, SetApart
from nabi.database.inserts import batches
from nabi.errors import ConfigError

READERS: Mapping[str, Reader] = MappingProxyType({"chat": read_chat_log})
"""A reader for each source; a new source is one more entry."""


UNUSABLE_ROW = "unusable row"
"""The reason under which refused rows are set apart; the detail says what was wrong with each."""


@dataclass(frozen=True)
class IngestReport:
    """What became of a file's rows; the three add up to its rows.

    Args:
        accepted: conversations that are new in the store.
        known: conversations that were there already with the same content.
        refused: rows kept out, in the order of the file; they are set apart too.
    """

    accepted: int
    known: int
    refused: list[Refused]


def ingest_file(path: Path, source: str, store: ConversationStore, persona_id: str | None, key: bytes) -> IngestReport:
    """Read an export into the store. A second time adds nothing, so an interrupted call is simply repeated.

    Args:
        source: one of `READERS`.
        persona_id: whose conversations these are; None when each row says so.
        key: of the users' hashes, from `nabi.conversations.keys.load_or_create_key`.

    Raises:
        ConfigError: no reader for this source.
        DataError: the file cannot be opened.
        TransientError: the database is locked or away.
    """
    reader = READERS.get(source)
    if reader is None:
        raise ConfigError(f"no reader for the source {source!r}.", where="source", fix=f"Use {', '.join(READERS)}.")
    accepted = known = 0
    refused: list[Refused] = []
    for rows in batches(reader(path, persona_id, key)):
        fit = [row for row in rows if isinstance(row, Accepted)]
        added = store.add(row.conversation for row in fit)
        accepted += added.num_new
        known += added.num_known
        unfit = [row for row in rows if isinstance(row, Refused)]
        store.set_apart_rows(_as_set_apart(row, path, source) for row in unfit)
        unstored = [_as_refused(fit[conversation.place], conversation.reason) for conversation in added.refused]
        refused += sorted([*unfit, *unstored], key=lambda row: row.line)
    return IngestReport(accepted, known, refused)


def _as_set_apart(row: Refused, path: Path, source: str) -> SetApart:
    field = f"{row.field}: " if row.field else ""
    return SetApart(
        persona_id=row.persona_id,
        source=source,
        reason=UNUSABLE_ROW,
        detail=f"{path.name} line {row.line}: {field}{row.reason}",
        user_key=row.user_key,
        raw=row.excerpt,
    )


def _as_refused(row: Accepted, reason: str) -> Refused:
    """A row that was read well and that the store would not have; the store has set it apart itself."""
    conversation = row.conversation
    return Refused(
        line=row.line,
        field="conversation_id",
        reason=f"{conversation.conversation_id}: {reason}",
        excerpt=conversation.model_dump_json()[:MAX_EXCERPT_CHARS],
        persona_id=conversation.persona_id,
        user_key=conversation.user_key,
    )
