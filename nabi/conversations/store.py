"""The store of everything that was said: added once, never overwritten, never lost.

Raw user ids never come here: a conversation carries only the keyed hash made by `nabi.conversations.keys`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session

from nabi.conversations.records import Consent, Conversation
from nabi.database.engine import Database
from nabi.database.inserts import BATCH, batches, insert_new
from nabi.database.tables import ConversationRow, LearnedRow, SetApartRow

OTHER_CONTENT = "same id with other content"
"""Reason of a conversation that was refused because its id is taken."""

UNSTORABLE = "text that no database can hold"
"""Reason of a conversation with a NUL character: PostgreSQL's text cannot hold one."""

# An escaped NUL, and not an escaped backslash before the text u0000.
_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True)
class RefusedConversation:
    """A conversation that was not stored; it is set apart with this reason. `place` counts from 0 in what was added."""

    place: int
    conversation_id: str
    reason: str


@dataclass(frozen=True)
class Added:
    """What became of added conversations. Each one is new, known (the same content is there), or refused."""

    num_new: int
    num_known: int
    refused: tuple[RefusedConversation, ...] = ()


@dataclass(frozen=True)
class SetApart:
    """Something kept out of training: a stored conversation, or a raw row that never became one.

    Args:
        persona_id: None when the row did not even say whose it is.
        source: the reader or step that set it apart, e.g. chat.
        reason: a short fixed phrase, to be counted.
        detail: the figures or the place, e.g. "quality 0.41, needs 0.70" or "log.jsonl line 7".
        raw: what was delivered, where no conversation was stored.
        window: the `as_of` of the first run that set it apart.
    """

    persona_id: str | None
    source: str
    reason: str
    detail: str = ""
    conversation_id: str | None = None
    user_key: str | None = None
    raw: str | None = None
    window: datetime | None = None
    set_apart_at: datetime | None = None


@dataclass(frozen=True)
class Counts:
    """How many conversations a persona has. `num_set_apart` counts raw rows too, and each reason by itself."""

    num_conversations: int
    num_learned: int
    num_set_apart: int

    @property
    def num_unlearned(self) -> int:
        return self.num_conversations - self.num_learned


class ConversationStore:
    """Conversations of all personas. Consent is stored, not judged here: `nabi.curation` sets apart what lacks it."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def add(self, conversations: Iterable[Conversation]) -> Added:
        """Store conversations; adding the same ones again changes nothing.

        A conversation whose id is taken by other content is refused and set apart: nothing is overwritten.
        Input streams in batches, each in one transaction, so an interrupted call is simply repeated.
        """
        num_new = num_known = 0
        refused: list[RefusedConversation] = []
        for batch in batches(conversations):
            offset = num_new + num_known + len(refused)
            added = self._add_batch(batch)
            num_new += added.num_new
            num_known += added.num_known
            refused.extend(replace(item, place=offset + item.place) for item in added.refused)
        return Added(num_new, num_known, tuple(refused))

    def _add_batch(self, batch: list[Conversation]) -> Added:
        new: list[ConversationRow] = []
        refused: list[RefusedConversation] = []
        with self._database.write(lock="conversations") as session:
            held = _held_digests(session, [item.conversation_id for item in batch])
            for place, conversation in enumerate(batch):
                digest = content_digest(conversation)
                reason = _why_not(conversation, digest, held)
                if reason is not None:
                    refused.append(RefusedConversation(place, conversation.conversation_id, reason))
                elif conversation.conversation_id not in held:
                    held[conversation.conversation_id] = digest
                    new.append(_row(conversation, digest, self._clock()))
            session.add_all(new)
            self._insert_set_apart(session, (_refusal(batch[item.place], item.reason) for item in refused))
        return Added(len(new), len(batch) - len(new) - len(refused), tuple(refused))

    def before(self, persona_id: str, as_of: datetime) -> list[Conversation]:
        """Every conversation that occurred before `as_of`, ordered by time, then id; learned or not."""
        return list(self.stream_before(persona_id, as_of))

    def stream_before(self, persona_id: str, as_of: datetime) -> Iterator[Conversation]:
        """The same one by one, for histories that do not fit in memory. One read transaction while it lasts."""
        return self._stream(_occurred_before(persona_id, as_of))

    def unlearned(self, persona_id: str, as_of: datetime) -> list[Conversation]:
        """Those before `as_of` that no deployed adapter has learned from, in the same order."""
        return list(self._stream([*_occurred_before(persona_id, as_of), ~_is_learned()]))

    def get(self, conversation_id: str) -> Conversation | None:
        """One conversation by its id."""
        with self._database.read() as session:
            row = session.get(ConversationRow, conversation_id)
            return _conversation(row) if row else None

    def mark_learned(
        self, persona_id: str, conversation_ids: Iterable[str], adapter_version: str, dataset_version: str
    ) -> int:
        """Note that a deployed adapter learned from these; the number that was new.

        To be called after the deployment only: a kept or failed candidate consumes nothing. What an earlier
        adapter learned keeps that adapter's name.
        """
        rows = (
            {
                "conversation_id": conversation_id,
                "persona_id": persona_id,
                "adapter_version": adapter_version,
                "dataset_version": dataset_version,
                "learned_at": self._clock(),
            }
            for conversation_id in conversation_ids
        )
        with self._database.write() as session:
            return insert_new(session, LearnedRow, rows)

    def learned_ids(self, persona_id: str) -> set[str]:
        """The ids that deployed adapters of the persona learned from, catalogue dialogues included."""
        with self._database.read() as session:
            return set(session.scalars(select(LearnedRow.conversation_id).where(LearnedRow.persona_id == persona_id)))

    def set_apart(self, window: datetime | None, refusals: Iterable[tuple[Conversation, str, str]]) -> int:
        """Note which stored conversations are kept out of training; the number that was new.

        The same conversation with the same reason is kept once, however many windows meet it again.

        Args:
            window: the `as_of` of the run that decided it.
            refusals: conversation, reason (a short fixed phrase, to be counted), detail.
        """
        return self.set_apart_rows(
            SetApart(
                persona_id=conversation.persona_id,
                source=conversation.source,
                reason=reason,
                detail=detail,
                conversation_id=conversation.conversation_id,
                user_key=conversation.user_key,
                window=window,
            )
            for conversation, reason, detail in refusals
        )

    def set_apart_rows(self, items: Iterable[SetApart]) -> int:
        """Keep anything apart, rows included that never became conversations; the number that was new."""
        with self._database.write() as session:
            return self._insert_set_apart(session, items)

    def _insert_set_apart(self, session: Session, items: Iterable[SetApart]) -> int:
        return insert_new(session, SetApartRow, (_set_apart_values(item, self._clock()) for item in items))

    def list_set_apart(self, persona_id: str | None = None, *, num: int | None = None) -> list[SetApart]:
        """What was set apart, newest first; of every persona (and of none) when `persona_id` is None."""
        chosen = select(SetApartRow).order_by(SetApartRow.id.desc()).limit(num)
        if persona_id is not None:
            chosen = chosen.where(SetApartRow.persona_id == persona_id)
        with self._database.read() as session:
            return [_set_apart(row) for row in session.scalars(chosen)]

    def counts(self, persona_id: str, as_of: datetime | None = None) -> Counts:
        """How many there are, of all times or before `as_of` (things set apart are counted of all times)."""
        mine = [ConversationRow.persona_id == persona_id] if as_of is None else _occurred_before(persona_id, as_of)
        everything = select(func.count()).select_from(ConversationRow).where(*mine)
        apart = select(func.count()).select_from(SetApartRow).where(SetApartRow.persona_id == persona_id)
        with self._database.read() as session:
            return Counts(
                num_conversations=session.scalar(everything) or 0,
                num_learned=session.scalar(everything.where(_is_learned())) or 0,
                num_set_apart=session.scalar(apart) or 0,
            )

    def _stream(self, conditions: list[ColumnElement[bool]]) -> Iterator[Conversation]:
        chosen: Select[tuple[ConversationRow]] = (
            select(ConversationRow)
            .where(*conditions)
            .order_by(ConversationRow.occurred_at, ConversationRow.conversation_id)
            .execution_options(yield_per=BATCH)
        )
        with self._database.read() as session:
            for row in session.scalars(chosen):
                yield _conversation(row)


def content_digest(conversation: Conversation) -> str:
    """SHA-256 of everything a conversation was delivered with, consent and feedback included."""
    body = conversation.model_dump(mode="json")
    return _sha256(body)


def _held_digests(session: Session, conversation_ids: list[str]) -> dict[str, str]:
    columns = select(ConversationRow.conversation_id, ConversationRow.digest)
    found = session.execute(columns.where(ConversationRow.conversation_id.in_(conversation_ids)))
    return {row.conversation_id: row.digest for row in found}


def _occurred_before(persona_id: str, as_of: datetime) -> list[ColumnElement[bool]]:
    return [ConversationRow.persona_id == persona_id, ConversationRow.occurred_at < as_of]


def _is_learned() -> ColumnElement[bool]:
    return exists().where(
        LearnedRow.conversation_id == ConversationRow.conversation_id,
        LearnedRow.persona_id == ConversationRow.persona_id,
    )


def _why_not(conversation: Conversation, digest: str, held: Mapping[str, str]) -> str | None:
    """Why a conversation cannot be stored beside those held; None when it can, or is there already."""
    if _NUL_IN_JSON.search(conversation.model_dump_json()):
        return UNSTORABLE
    if held.get(conversation.conversation_id, digest) != digest:
        return OTHER_CONTENT
    return None


def _refusal(conversation: Conversation, reason: str) -> SetApart:
    return SetApart(
        persona_id=conversation.persona_id.replace("\0", "\\0"),
        source=conversation.source.replace("\0", "\\0"),
        reason=reason,
        conversation_id=conversation.conversation_id.replace("\0", "\\0"),
        user_key=conversation.user_key,
        raw=conversation.model_dump_json(),
    )


def _row(conversation: Conversation, digest: str, now: datetime) -> ConversationRow:
    return ConversationRow(
        conversation_id=conversation.conversation_id,
        persona_id=conversation.persona_id,
        source=conversation.source,
        occurred_at=conversation.occurred_at,
        messages=[message.model_dump() for message in conversation.messages],
        facts=[dict(fact) for fact in conversation.facts],
        user_key=conversation.user_key,
        consent_training=conversation.consent.training,
        consent_given_at=conversation.consent.given_at,
        consent_withdrawn_at=conversation.consent.withdrawn_at,
        consent_guardian=conversation.consent.guardian,
        kind=conversation.kind,
        feedback=conversation.feedback,
        adapter_version=conversation.adapter_version,
        style_tags=list(conversation.style_tags),
        safety_flags=list(conversation.safety_flags),
        digest=digest,
        received_at=now,
    )


def _conversation(row: ConversationRow) -> Conversation:
    return Conversation.model_validate(
        {
            "conversation_id": row.conversation_id,
            "persona_id": row.persona_id,
            "source": row.source,
            "occurred_at": row.occurred_at,
            "messages": row.messages,
            "facts": row.facts,
            "user_key": row.user_key,
            "consent": Consent(
                training=row.consent_training,
                given_at=row.consent_given_at,
                withdrawn_at=row.consent_withdrawn_at,
                guardian=row.consent_guardian,
            ),
            "kind": row.kind,
            "feedback": row.feedback,
            "adapter_version": row.adapter_version,
            "style_tags": row.style_tags,
            "safety_flags": row.safety_flags,
        }
    )


def _set_apart_values(item: SetApart, now: datetime) -> dict[str, object]:
    # Neither detail nor window is part of what makes two of them the same: the next window would add every
    # one of them again, and a score that moves in its last digit too.
    identity = [item.persona_id, item.conversation_id, item.reason, item.raw]
    return {
        "digest": _sha256(identity),
        "persona_id": item.persona_id,
        "conversation_id": item.conversation_id,
        "user_key": item.user_key,
        "source": item.source,
        "reason": item.reason,
        "detail": item.detail,
        "raw": item.raw,
        "window": item.window,
        "set_apart_at": now,
    }


def _set_apart(row: SetApartRow) -> SetApart:
    return SetApart(
        persona_id=row.persona_id,
        source=row.source,
        reason=row.reason,
        detail=row.detail,
        conversation_id=row.conversation_id,
        user_key=row.user_key,
        raw=row.raw,
        window=row.window,
        set_apart_at=row.set_apart_at,
    )


def _sha256(body: object) -> str:
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
