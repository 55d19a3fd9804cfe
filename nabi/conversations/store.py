"""The store of everything that was said: added once, never overwritten, never lost.

Raw user ids never come here: a conversation carries only the keyed hash made by `nabi.conversations.keys`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Text, cast, exists, func, or_, select
from sqlalchemy.orm import Session

from nabi.conversations.erasure import REASONS, Erasure, Erasures, is_buried, why_refused, why_row_refused
from nabi.conversations.records import Consent, Conversation
from nabi.conversations.redelivery import Change, after, change_between
from nabi.database.engine import Database
from nabi.database.inserts import BATCH, batches, insert_new
from nabi.database.tables import ConversationRow, LearnedRow, SetApartRow

OTHER_CONTENT = "same id with other content"
"""Reason of a conversation that was refused because its id is taken."""

UNSTORABLE = "text that no database can hold"
"""Reason of a conversation with a NUL character: PostgreSQL's text cannot hold one."""

REPLACED_LABEL = "replaced by a golden answer"
"""Reason under which the answer that a golden one replaced is kept apart."""

Decision = Literal["released", "dropped", "corrected"]

_REFUSALS = frozenset({OTHER_CONTENT, UNSTORABLE, *REASONS.values()})

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
    """What became of added conversations.

    Each one is new, known (the same content is there, but for a reaction that came later), withdrawn (held, and its
    consent was now taken back), golden (held, and its last answer was now replaced by a golden one), or refused.

    Args:
        withdrawn: ids whose consent was taken back by this delivery; what was learned from them is to be forgotten.
        golden: ids whose answer was replaced by this delivery.
    """

    num_new: int
    num_known: int
    refused: tuple[RefusedConversation, ...] = ()
    withdrawn: tuple[str, ...] = ()
    golden: tuple[str, ...] = ()


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
        id: by which a person names it; None before it is stored, as is what was decided about it.
        decision: released, dropped, or corrected: the better answer stands in the conversation.
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
    id: int | None = None
    decision: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


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
        self.erasures = Erasures(database, clock)

    def forget_person(self, user_key: str, *, who: str) -> Erasure:
        """Asks for the deletion of everything that a person said; from now on none of it is used or taken in again.

        `nabi.steps.forget.finish_pending` deletes what was made of it, here and everywhere else.
        """
        return self.erasures.forget(user_key, who=who)

    def withdraw_consent(self, user_key: str, at: datetime, *, who: str) -> Erasure:
        """Records that a person takes their consent back as of `at`; the same again changes nothing.

        What they said since then is deleted like in `forget_person`; what consent covered before it stays.
        """
        return self.erasures.withdraw(user_key, at, who=who)

    def add(self, conversations: Iterable[Conversation]) -> Added:
        """Store conversations; adding the same ones again changes nothing.

        A conversation whose id is taken by other content is refused and set apart: nothing is overwritten, but for a
        consent taken back and a label replaced by a golden answer (see `redelivery`), which are reported.
        Input streams in batches, each in one transaction, so an interrupted call is simply repeated.
        """
        total = Added(0, 0)
        offset = 0
        for batch in batches(conversations):
            added = self._add_batch(batch)
            moved = tuple(replace(item, place=offset + item.place) for item in added.refused)
            total = Added(
                total.num_new + added.num_new,
                total.num_known + added.num_known,
                total.refused + moved,
                total.withdrawn + added.withdrawn,
                total.golden + added.golden,
            )
            offset += len(batch)
        return total

    def _add_batch(self, batch: list[Conversation]) -> Added:
        with self._database.write(lock="conversations") as session:
            held = _held_digests(session, [item.conversation_id for item in batch])
            gone = why_refused(session, (item for item in batch if item.conversation_id not in held))
            outcomes = [gone.get(item.conversation_id) or self._add_one(session, item, held) for item in batch]
            refused = tuple(
                RefusedConversation(place, batch[place].conversation_id, outcome)
                for place, outcome in enumerate(outcomes)
                if outcome in _REFUSALS
            )
            self._insert_set_apart(session, (_refusal(batch[item.place], item.reason) for item in refused))
            if taken_back := _ids_of(batch, outcomes, "withdrawn"):
                self.erasures.name_in(
                    session, list(taken_back), "withdraw", who="a delivery that took the consent back"
                )
        return Added(
            num_new=outcomes.count("new"),
            num_known=outcomes.count("none") + outcomes.count("reacted"),
            refused=refused,
            withdrawn=_ids_of(batch, outcomes, "withdrawn"),
            golden=_ids_of(batch, outcomes, "golden"),
        )

    def _add_one(self, session: Session, conversation: Conversation, held: dict[str, str]) -> str:
        """Store one: "new", what changed (see `redelivery`), or why it was refused. `held`: id → digest, kept up."""
        if _NUL_IN_JSON.search(conversation.model_dump_json()):
            return UNSTORABLE
        named, digest = conversation.conversation_id, content_digest(conversation)
        if named not in held:
            session.add(_row(conversation, digest, self._clock()))
            held[named] = digest
            return "new"
        if held[named] == digest:
            return "none"
        change = self._change(session, conversation, digest)
        if change in ("withdrawn", "golden", "reacted"):
            held[named] = digest
        return OTHER_CONTENT if change == "other" else change

    def _change(self, session: Session, delivered: Conversation, digest: str) -> Change:
        """Bring the row of a conversation that is held up to date with what was delivered under its id."""
        session.flush()  # the one held may be of this very batch
        row = session.get_one(ConversationRow, delivered.conversation_id)
        held = _conversation(row)
        change = change_between(held, delivered)
        if change == "golden":
            self._insert_set_apart(session, [_refusal(held, REPLACED_LABEL)])
        if change in ("withdrawn", "golden", "reacted"):
            for column, value in _columns(after(held, delivered, change, self._clock())).items():
                setattr(row, column, value)
            row.digest = digest
        return change

    def react(self, conversation_id: str, feedback: float) -> bool:
        """Keeps the user's reaction to a conversation's answer, the newest one; False when none is held of that id.

        A reaction to an answer that a better one replaced says nothing of that one, and is not kept.
        """
        with self._database.write(lock="conversations") as session:
            held = _held(session, conversation_id)
            if held is None or held.golden:
                return False
            held.feedback = feedback
            held.digest = content_digest(_conversation(held))
            return True

    def correct(self, conversation_id: str, answer: str, *, who: str) -> bool:
        """Puts a better answer in the place of the last one, which is kept apart; False when none is held of that id.

        The better one counts as golden: no system's later delivery of the old one undoes it.
        """
        with self._database.write(lock="conversations") as session:
            row = _held(session, conversation_id)
            if row is None:
                return False
            held = _conversation(row)
            former = replace(
                _refusal(held, REPLACED_LABEL), decision="corrected", decided_by=who, decided_at=self._clock()
            )
            self._insert_set_apart(session, [former])
            better = corrected(held, answer)
            for column, value in _columns(better).items():
                setattr(row, column, value)
            row.digest = content_digest(better)
            return True

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

    def of_person(self, user_key: str) -> list[str]:
        """Ids of the conversations that hold a person's words: their own, and those of others that quote them."""
        # The key is 64 hex digits: it stands in the list's text exactly when it stands in the list.
        quoted = cast(ConversationRow.other_keys, Text).contains(user_key, autoescape=True)
        chosen = select(ConversationRow.conversation_id).where(or_(ConversationRow.user_key == user_key, quoted))
        with self._database.read() as session:
            return list(session.scalars(chosen.order_by(ConversationRow.conversation_id)))

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

    def learned_by(self, persona_id: str) -> dict[str, str]:
        """The first deployed adapter version that used each conversation, to learn from it or to be measured on it."""
        chosen = select(LearnedRow.conversation_id, LearnedRow.adapter_version)
        with self._database.read() as session:
            return {row[0]: row[1] for row in session.execute(chosen.where(LearnedRow.persona_id == persona_id))}

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
            return self._insert_set_apart(session, (_without_what_is_gone(session, item) for item in items))

    def _insert_set_apart(self, session: Session, items: Iterable[SetApart]) -> int:
        return insert_new(session, SetApartRow, (_set_apart_values(item, self._clock()) for item in items))

    def list_set_apart(
        self,
        persona_id: str | None = None,
        *,
        num: int | None = None,
        reason: str | None = None,
        only_undecided: bool = False,
    ) -> list[SetApart]:
        """What was set apart, newest first; of every persona (and of none) when `persona_id` is None."""
        chosen = select(SetApartRow).order_by(SetApartRow.id.desc()).limit(num)
        if persona_id is not None:
            chosen = chosen.where(SetApartRow.persona_id == persona_id)
        if reason is not None:
            chosen = chosen.where(SetApartRow.reason == reason)
        if only_undecided:
            chosen = chosen.where(SetApartRow.decision.is_(None))
        with self._database.read() as session:
            return [_set_apart(row) for row in session.scalars(chosen)]

    def set_apart_of(self, conversation_id: str) -> list[SetApart]:
        """Under which reasons a conversation was set apart, oldest first."""
        chosen = select(SetApartRow).where(SetApartRow.conversation_id == conversation_id).order_by(SetApartRow.id)
        with self._database.read() as session:
            return [_set_apart(row) for row in session.scalars(chosen)]

    def get_set_apart(self, number: int) -> SetApart | None:
        """One of them by its id."""
        with self._database.read() as session:
            row = session.get(SetApartRow, number)
            return _set_apart(row) if row else None

    def release(self, numbers: Iterable[int], *, who: str) -> None:
        """Records that a person overruled the reasons under which these were set apart."""
        with self._database.write() as session:
            for number in numbers:
                self._decide(session, number, "released", who)

    def drop(self, numbers: Iterable[int], *, who: str) -> list[str]:
        """Takes the words out of what was set apart, and asks for the deletion of conversations behind it.

        Returns:
            The conversations that `nabi.steps.forget.finish_pending` now has to delete.
        """
        with self._database.write(lock="conversations") as session:
            rows = [self._decide(session, number, "dropped", who) for number in numbers]
            # With a row that came to nothing, the id may be another person's conversation: its raw text says so.
            named = [row.conversation_id for row in rows if row is not None and row.raw is None and row.conversation_id]
            for row in filter(None, rows):
                row.raw, row.detail = None, ""
            session.flush()
            asked = self.erasures.name_in(session, named, "drop", who=who)
            return named if asked is not None else []

    def _decide(self, session: Session, number: int, decision: Decision, who: str) -> SetApartRow | None:
        """The row that was now decided; None when it is dropped already, which is for good."""
        row = session.get_one(SetApartRow, number)
        if row.decision == "dropped":
            return None
        row.decision, row.decided_by, row.decided_at = decision, who, self._clock()
        return row

    def released(self, persona_id: str) -> dict[str, frozenset[str]]:
        """Conversation id → the reasons for setting it apart that a person overruled."""
        chosen = select(SetApartRow.conversation_id, SetApartRow.reason).where(
            SetApartRow.persona_id == persona_id,
            SetApartRow.decision == "released",
            SetApartRow.conversation_id.is_not(None),
        )
        reasons: dict[str, set[str]] = {}
        with self._database.read() as session:
            for row in session.execute(chosen):
                reasons.setdefault(row.conversation_id, set()).add(row.reason)
        return {conversation_id: frozenset(named) for conversation_id, named in reasons.items()}

    def replaced(self, persona_id: str) -> dict[str, list[Conversation]]:
        """Conversation id → what was held under it before a better answer took the last one's place, oldest first."""
        chosen = select(SetApartRow).where(
            SetApartRow.persona_id == persona_id, SetApartRow.reason == REPLACED_LABEL, SetApartRow.raw.is_not(None)
        )
        found: dict[str, list[Conversation]] = {}
        with self._database.read() as session:
            for row in session.scalars(chosen.order_by(SetApartRow.id)):
                former = Conversation.model_validate_json(row.raw or "")
                found.setdefault(former.conversation_id, []).append(former)
        return found

    def counts(self, persona_id: str, as_of: datetime | None = None) -> Counts:
        """How many there are, of all times or before `as_of` (things set apart are counted of all times)."""
        mine = [ConversationRow.persona_id == persona_id, ~is_buried()]
        if as_of is not None:
            mine = _occurred_before(persona_id, as_of)
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
    """SHA-256 of everything a conversation was delivered with, consent and feedback included.

    The basis is left out: it is the persona's, not the delivery's. Fields that came later count only when they say
    something, so that what was stored before them keeps its digest.
    """
    body = conversation.model_dump(mode="json", exclude={"basis"})
    for later in ("golden", "other_keys"):
        if not body[later]:
            del body[later]
    return _sha256(body)


def corrected(conversation: Conversation, answer: str) -> Conversation:
    """The conversation with another answer at its end, which no adapter gave and nobody reacted to."""
    last = conversation.messages[-1].model_copy(update={"content": answer})
    fields = {"messages": (*conversation.messages[:-1], last), "golden": True, "feedback": None}
    return conversation.model_copy(update={**fields, "adapter_version": None})


def _held(session: Session, conversation_id: str) -> ConversationRow | None:
    named = select(ConversationRow).where(ConversationRow.conversation_id == conversation_id, ~is_buried())
    return session.scalars(named).first()


def _held_digests(session: Session, conversation_ids: list[str]) -> dict[str, str]:
    columns = select(ConversationRow.conversation_id, ConversationRow.digest)
    found = session.execute(columns.where(ConversationRow.conversation_id.in_(conversation_ids)))
    return {row.conversation_id: row.digest for row in found}


def _occurred_before(persona_id: str, as_of: datetime) -> list[ColumnElement[bool]]:
    return [ConversationRow.persona_id == persona_id, ConversationRow.occurred_at < as_of, ~is_buried()]


def _is_learned() -> ColumnElement[bool]:
    return exists().where(
        LearnedRow.conversation_id == ConversationRow.conversation_id,
        LearnedRow.persona_id == ConversationRow.persona_id,
    )


def _without_what_is_gone(session: Session, item: SetApart) -> SetApart:
    """A raw row without its words when a request to forget covers it."""
    reason = why_row_refused(session, item.user_key, item.raw) if item.raw else None
    return replace(item, reason=reason, raw=None, detail="") if reason else item


def _refusal(conversation: Conversation, reason: str) -> SetApart:
    return SetApart(
        persona_id=conversation.persona_id.replace("\0", "\\0"),
        source=conversation.source.replace("\0", "\\0"),
        reason=reason,
        conversation_id=conversation.conversation_id.replace("\0", "\\0"),
        user_key=conversation.user_key,
        raw=None if reason in REASONS.values() else conversation.model_dump_json(),
    )


def _ids_of(batch: list[Conversation], outcomes: list[str], wanted: str) -> tuple[str, ...]:
    return tuple(item.conversation_id for item, outcome in zip(batch, outcomes, strict=True) if outcome == wanted)


def _row(conversation: Conversation, digest: str, now: datetime) -> ConversationRow:
    return ConversationRow(**_columns(conversation), digest=digest, received_at=now)


def _columns(conversation: Conversation) -> dict[str, Any]:
    return {
        "conversation_id": conversation.conversation_id,
        "persona_id": conversation.persona_id,
        "source": conversation.source,
        "occurred_at": conversation.occurred_at,
        "messages": [message.model_dump() for message in conversation.messages],
        "facts": [dict(fact) for fact in conversation.facts],
        "user_key": conversation.user_key,
        "consent_training": conversation.consent.training,
        "consent_given_at": conversation.consent.given_at,
        "consent_withdrawn_at": conversation.consent.withdrawn_at,
        "consent_guardian": conversation.consent.guardian,
        "kind": conversation.kind,
        "feedback": conversation.feedback,
        "adapter_version": conversation.adapter_version,
        "style_tags": list(conversation.style_tags),
        "safety_flags": list(conversation.safety_flags),
        "basis": conversation.basis.model_dump(mode="json") if conversation.basis else None,
        "golden": conversation.golden,
        "other_keys": list(conversation.other_keys),
    }


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
            "basis": row.basis,
            "golden": row.golden,
            "other_keys": row.other_keys,
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
        "decision": item.decision,
        "decided_by": item.decided_by,
        "decided_at": item.decided_at,
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
        id=row.id,
        decision=row.decision,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )


def _sha256(body: object) -> str:
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
