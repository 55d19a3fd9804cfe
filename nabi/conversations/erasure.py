"""Requests to forget: what they cover, what keeps it from coming back, and what was deleted for them.

A request is written down before anything is deleted. From that moment nothing that it covers is learned from or taken
in again; the deletion itself (`nabi.steps.forget`) may be interrupted and goes on from what stands here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import ColumnElement, Text, delete, exists, func, or_, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from nabi.conversations.records import Conversation
from nabi.conversations.words import Words
from nabi.database.engine import Database
from nabi.database.inserts import BATCH, batches, insert_new
from nabi.database.tables import (
    Base,
    ConversationRow,
    DatasetRowRow,
    ErasureEntryRow,
    ErasureRow,
    LearnedRow,
    SetApartRow,
    TombstoneRow,
)
from nabi.errors import DataError

Kind = Literal["delete", "withdraw", "drop"]
Stage = Literal["pending", "emptied", "done"]

DELETED = "deleted on request"
WITHDRAWN = "consent withdrawn"
DROPPED = "dropped by review"

REASONS: Mapping[str, str] = {"delete": DELETED, "withdraw": WITHDRAWN, "drop": DROPPED}
"""Under which reason a row is refused that a request of this kind covers."""

_CONVERSATION_ID = re.compile(r'"conversation_id"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Erasure:
    """One request.

    Args:
        kind: delete (everything of a person up to the request), withdraw (from `since` on) or drop (named
            conversations, without a person's asking).
        user_key: keyed hash of the person; None for named conversations.
        state: pending; emptied when the database holds nothing of it any more; done.
    """

    id: int
    kind: Kind
    user_key: str | None
    since: datetime | None
    who: str
    state: Stage
    requested_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Entry:
    """One line of a report: how many of what were deleted where."""

    place: str
    name: str
    num: int


@dataclass(frozen=True)
class Traces:
    """By what the words of a request are found outside the conversations: ids, and the words themselves."""

    conversation_ids: frozenset[str]
    sample_ids: frozenset[str]
    texts: frozenset[str]
    persona_ids: frozenset[str]


class Erasures:
    """Makes requests, tells what they cover, and takes it out of the database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def forget(self, user_key: str, *, who: str) -> Erasure:
        """Asks for the deletion of everything that a person said until now; also when nothing is held of them.

        A request that is not finished yet and covers everything is not made twice.
        """
        with self._database.write(lock="conversations") as session:
            theirs = session.scalars(select(ConversationRow).where(_of_person(user_key), ~is_buried())).all()
            standing = _standing(session, "delete", user_key, ErasureRow.state != "done")
            if standing is not None and not theirs:
                return _erasure(standing)
            row = self._new(session, "delete", user_key=user_key, who=who)
            _bury(session, row.id, theirs)
            return _erasure(row)

    def withdraw(self, user_key: str, since: datetime, *, who: str) -> Erasure:
        """Records that a person takes their consent back as of `since`.

        What was said at that time or later is deleted everywhere. What was said before stays if consent covered it
        then, and is deleted if not. The same withdrawal again changes nothing.
        """
        with self._database.write(lock="conversations") as session:
            standing = _standing(session, "withdraw", user_key, ErasureRow.since == since)
            if standing is not None:
                return _erasure(standing)
            row = self._new(session, "withdraw", user_key=user_key, since=since, who=who)
            theirs = session.scalars(select(ConversationRow).where(_of_person(user_key), ~is_buried())).all()
            _bury(session, row.id, [held for held in theirs if held.occurred_at >= since or not _was_covered(held)])
            return _erasure(row)

    def name(self, conversation_ids: Iterable[str], kind: Kind, *, who: str) -> Erasure:
        """Asks for the deletion of these conversations only.

        Raises:
            DataError: none of them is held, or each is to be deleted already.
        """
        wanted = list(conversation_ids)
        with self._database.write(lock="conversations") as session:
            row = self.name_in(session, wanted, kind, who=who)
            if row is None:
                raise DataError("none of these conversations is held.", where=", ".join(wanted) or "no id")
            return _erasure(row)

    def name_in(self, session: Session, conversation_ids: list[str], kind: Kind, *, who: str) -> ErasureRow | None:
        """The same inside a transaction that holds the lock `conversations`; None when there is nothing to delete."""
        named = select(ConversationRow).where(ConversationRow.conversation_id.in_(conversation_ids), ~is_buried())
        held = session.scalars(named).all()
        if not held:
            return None
        row = self._new(session, kind, who=who)
        _bury(session, row.id, held)
        return row

    def pending(self) -> list[Erasure]:
        """The requests that are not finished, oldest first."""
        unfinished = select(ErasureRow).where(ErasureRow.state.in_(("pending", "emptied"))).order_by(ErasureRow.id)
        with self._database.read() as session:
            return [_erasure(row) for row in session.scalars(unfinished)]

    def get(self, erasure_id: int) -> Erasure | None:
        with self._database.read() as session:
            row = session.get(ErasureRow, erasure_id)
            return _erasure(row) if row else None

    def of_conversation(self, conversation_id: str) -> Erasure | None:
        """The request that a conversation was deleted for."""
        asked = select(ErasureRow).join(TombstoneRow, TombstoneRow.erasure_id == ErasureRow.id)
        with self._database.read() as session:
            row = session.scalars(asked.where(TombstoneRow.conversation_id == conversation_id)).first()
            return _erasure(row) if row else None

    def of_person(self, user_key: str) -> list[Erasure]:
        """A person's requests, oldest first."""
        asked = select(ErasureRow).where(ErasureRow.user_key == user_key).order_by(ErasureRow.id)
        with self._database.read() as session:
            return [_erasure(row) for row in session.scalars(asked)]

    def traces(self, erasure: Erasure) -> Traces:
        """What a request covers; without words and samples once the database is emptied of them."""
        buried = select(TombstoneRow.conversation_id).where(TombstoneRow.erasure_id == erasure.id)
        held = select(ConversationRow).where(ConversationRow.conversation_id.in_(buried))
        rows = select(DatasetRowRow).where(DatasetRowRow.conversation_id.in_(buried))
        with self._database.read() as session:
            conversations, samples = session.scalars(held).all(), session.scalars(rows).all()
            raw = session.scalars(select(SetApartRow.raw).where(*_apart(erasure), SetApartRow.raw.is_not(None)))
            words = {message["content"] for row in conversations for message in row.messages}
            return Traces(
                conversation_ids=frozenset(session.scalars(buried)),
                sample_ids=frozenset(row.sample_id for row in samples),
                texts=frozenset(words | {text for text in raw if text}),
                persona_ids=frozenset({row.persona_id for row in conversations} | {row.persona_id for row in samples}),
            )

    def note(self, erasure: Erasure, entries: Iterable[Entry]) -> None:
        """Writes down what is about to be deleted; what is noted already stays as it was noted first."""
        rows = [
            {"erasure_id": erasure.id, "place": e.place, "name": e.name, "num": e.num, "at": self._clock()}
            for e in entries
        ]
        if rows:
            with self._database.write() as session:
                insert_new(session, ErasureEntryRow, rows)

    def entries(self, erasure: Erasure) -> list[Entry]:
        """The report so far, by place and name."""
        lines = select(ErasureEntryRow).where(ErasureEntryRow.erasure_id == erasure.id)
        with self._database.read() as session:
            rows = session.scalars(lines.order_by(ErasureEntryRow.place, ErasureEntryRow.name))
            return [Entry(row.place, row.name, row.num) for row in rows]

    def empty(self, erasure: Erasure) -> None:
        """Takes everything that the request covers out of the tables, in one transaction."""
        buried = select(TombstoneRow.conversation_id).where(TombstoneRow.erasure_id == erasure.id).scalar_subquery()
        with self._database.write(lock="conversations") as session:
            row = session.get_one(ErasureRow, erasure.id)
            if row.state != "pending":
                return
            if orphans := _orphans(session, erasure):
                self._take_out(session, row, SetApartRow, SetApartRow.id.in_(orphans), name="raw rows without an owner")
            for table in (ConversationRow, LearnedRow, DatasetRowRow):
                self._take_out(session, row, table, table.conversation_id.in_(buried))
            if erasure.kind == "drop":
                # The decision stays, so that nobody is asked about it again; the words go.
                session.execute(update(SetApartRow).where(*_apart(erasure)).values(raw=None, detail=""))
            else:
                self._take_out(session, row, SetApartRow, *_apart(erasure))
            row.state = "emptied"

    def _take_out(
        self,
        session: Session,
        request: ErasureRow,
        table: type[Base],
        *conditions: ColumnElement[bool],
        name: str | None = None,
    ) -> None:
        num = session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
        if num:
            noted = {"erasure_id": request.id, "place": "database", "name": name or table.__tablename__}
            insert_new(session, ErasureEntryRow, [{**noted, "num": num, "at": self._clock()}])
            session.execute(delete(table).where(*conditions))

    def finish(self, erasure: Erasure) -> Erasure:
        """Marks the request as done."""
        with self._database.write() as session:
            row = session.get_one(ErasureRow, erasure.id)
            if row.state != "done":
                row.state, row.finished_at = "done", self._clock()
            return _erasure(row)

    def _new(
        self, session: Session, kind: Kind, *, user_key: str | None = None, since: datetime | None = None, who: str
    ) -> ErasureRow:
        row = ErasureRow(
            kind=kind, user_key=user_key, since=since, who=who, state="pending", requested_at=self._clock()
        )
        session.add(row)
        session.flush()
        return row


def is_buried() -> ColumnElement[bool]:
    """Condition on `ConversationRow`: a request covers it, so it must not be used any more."""
    return exists().where(TombstoneRow.conversation_id == ConversationRow.conversation_id)


def why_refused(session: Session, conversations: Iterable[Conversation]) -> dict[str, str]:
    """Which of these may not come in (again), by conversation id, and under which reason.

    Refused is what a request has buried, by id or by the very words at the very time, and what a person said before
    their deletion or after their withdrawal, unless they consented anew since.
    """
    delivered = list(conversations)
    keys = {key for item in delivered for key in _people_in(item)}
    asked = _requests_of(session, keys)
    buried = _buried(session, delivered)
    reasons = {}
    for item in delivered:
        reason = buried.get(item.conversation_id) or buried.get(said_digest(item))
        for key in _people_in(item):
            reason = reason or next((REASONS[row.kind] for row in asked.get(key, ()) if _covers(row, item)), None)
        if reason:
            reasons[item.conversation_id] = reason
    return reasons


def why_row_refused(session: Session, user_key: str | None, raw: str | None) -> str | None:
    """The same for a raw row that never became a conversation: its time is unknown, so any request covers it."""
    if user_key is not None and (asked := _requests_of(session, {user_key}).get(user_key)):
        return REASONS[asked[-1].kind]
    named = _named_in(raw or "")
    if named is None:
        return None
    kind = session.scalars(
        select(ErasureRow.kind)
        .join(TombstoneRow, TombstoneRow.erasure_id == ErasureRow.id)
        .where(TombstoneRow.conversation_id == named)
    ).first()
    return REASONS[kind] if kind else None


def said_digest(conversation: Conversation) -> str:
    """SHA-256 of who was asked what and when: the same words at the same time are the same conversation."""
    messages = [message.model_dump() for message in conversation.messages]
    return _said(conversation.persona_id, conversation.occurred_at, messages)


def _said(persona_id: str, occurred_at: datetime, messages: list[dict[str, str]]) -> str:
    body = [persona_id, occurred_at.astimezone(UTC).isoformat(), [[m["role"], m["content"]] for m in messages]]
    return hashlib.sha256(json.dumps(body, ensure_ascii=False).encode()).hexdigest()


def _bury(session: Session, erasure_id: int, rows: Iterable[ConversationRow]) -> None:
    stones = (
        {
            "conversation_id": row.conversation_id,
            "erasure_id": erasure_id,
            "said": _said(row.persona_id, row.occurred_at, row.messages),
        }
        for row in rows
    )
    insert_new(session, TombstoneRow, stones)


def _of_person(user_key: str) -> ColumnElement[bool]:
    """Conversations that hold a person's words: their own, and those of others that quote them."""
    # The key is 64 hex digits: it stands in the list's text exactly when it stands in the list.
    return or_(
        ConversationRow.user_key == user_key,
        sql_cast(ConversationRow.other_keys, Text).contains(user_key, autoescape=True),
    )


def _apart(erasure: Erasure) -> list[ColumnElement[bool]]:
    """Which set-apart rows a request covers. A raw row has no time of its own, so a withdrawal takes it too."""
    buried = select(TombstoneRow.conversation_id).where(TombstoneRow.erasure_id == erasure.id).scalar_subquery()
    if erasure.user_key is None:
        return [SetApartRow.conversation_id.in_(buried)]
    # Another person's row may have been refused because its id was taken by one of these.
    unowned = SetApartRow.user_key.is_(None) & SetApartRow.conversation_id.in_(buried)
    own = SetApartRow.user_key == erasure.user_key
    if erasure.kind == "withdraw":
        own &= or_(SetApartRow.raw.is_not(None), SetApartRow.conversation_id.in_(buried))
    # A raw conversation names the people that it quotes by their keys.
    return [or_(own, unowned, SetApartRow.raw.contains(erasure.user_key, autoescape=True))]


def _orphans(session: Session, erasure: Erasure) -> list[int]:
    """Raw rows of nobody that name one of the conversations or hold its words, as a row cut short may."""
    buried = select(TombstoneRow.conversation_id).where(TombstoneRow.erasure_id == erasure.id)
    ids = set(session.scalars(buried))
    held = session.scalars(select(ConversationRow.messages).where(ConversationRow.conversation_id.in_(buried)))
    words = Words(message["content"] for messages in held for message in messages)
    raw = select(SetApartRow.id, SetApartRow.raw).where(SetApartRow.user_key.is_(None), SetApartRow.raw.is_not(None))
    found = []
    for row in session.execute(raw.execution_options(yield_per=BATCH)):
        if _named_in(row.raw) in ids or words.count(row.raw.encode()):
            found.append(row.id)
    return found


def _named_in(raw: str) -> str | None:
    """The conversation that a raw row names."""
    found = _CONVERSATION_ID.search(raw)
    try:
        return str(json.loads(found[1])) if found else None
    except ValueError:  # a control character inside
        return None


def _standing(session: Session, kind: Kind, user_key: str, also: ColumnElement[bool]) -> ErasureRow | None:
    same = select(ErasureRow).where(ErasureRow.kind == kind, ErasureRow.user_key == user_key, also)
    return session.scalars(same.order_by(ErasureRow.id.desc())).first()


def _was_covered(row: ConversationRow) -> bool:
    """Consent covered it when it was said, whatever was taken back later."""
    given = row.consent_given_at is None or row.consent_given_at <= row.occurred_at
    return row.consent_training and given and row.consent_guardian is not False


def _people_in(conversation: Conversation) -> list[str]:
    own = [conversation.user_key] if conversation.user_key else []
    return [*own, *conversation.other_keys]


def _requests_of(session: Session, user_keys: Collection[str]) -> dict[str, list[ErasureRow]]:
    found: dict[str, list[ErasureRow]] = {}
    for batch in batches(sorted(user_keys)):
        asked = select(ErasureRow).where(ErasureRow.user_key.in_(batch)).order_by(ErasureRow.id)
        for row in session.scalars(asked):
            found.setdefault(cast(str, row.user_key), []).append(row)
    return found


def _buried(session: Session, conversations: list[Conversation]) -> dict[str, str]:
    """Reason by conversation id and by what was said."""
    found: dict[str, str] = {}
    for batch in batches(conversations):
        ids = [item.conversation_id for item in batch]
        said = [said_digest(item) for item in batch]
        stones = (
            select(TombstoneRow.conversation_id, TombstoneRow.said, ErasureRow.kind)
            .join(ErasureRow, ErasureRow.id == TombstoneRow.erasure_id)
            .where(or_(TombstoneRow.conversation_id.in_(ids), TombstoneRow.said.in_(said)))
        )
        for stone in session.execute(stones):
            found[stone.conversation_id] = found[stone.said] = REASONS[stone.kind]
    return found


def _covers(request: ErasureRow, conversation: Conversation) -> bool:
    if request.kind == "delete":
        return conversation.occurred_at <= request.requested_at
    if request.since is None or conversation.occurred_at < request.since:
        return False
    given_at = conversation.consent.given_at
    return given_at is None or given_at <= request.since


def _erasure(row: ErasureRow) -> Erasure:
    return Erasure(
        id=row.id,
        kind=cast(Kind, row.kind),
        user_key=row.user_key,
        since=row.since,
        who=row.who,
        state=cast(Stage, row.state),
        requested_at=row.requested_at,
        finished_at=row.finished_at,
    )
