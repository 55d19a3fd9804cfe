"""The tables, typed. A change here needs a new revision in `migrations/versions`; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC and given back in UTC by every database.

    SQLite keeps no zone and PostgreSQL answers in the session's zone: both are mended here.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError(f"{value!r} has no zone; only aware times are stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Ids sort by code point in every database, or the same conversations would come in another order
# (and make another dataset) on a server whose locale sorts differently.
Identifier = String(200).with_variant(String(200, collation="C"), "postgresql")
Digest = String(64)
Name = String(64)


class Base(DeclarativeBase):
    """Parent of the tables; fixed constraint names let a later revision drop a constraint by name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[type, TypeEngine[Any]]] = {datetime: UtcDateTime(), str: Text()}


class ConversationRow(Base):
    """One conversation as it was first brought in. `digest` covers everything that was delivered."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index(None, "persona_id", "occurred_at", "conversation_id"),
        Index(None, "user_key"),
    )

    conversation_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    persona_id: Mapped[str] = mapped_column(Identifier)
    source: Mapped[str] = mapped_column(Name)
    occurred_at: Mapped[datetime]
    messages: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    facts: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    user_key: Mapped[str | None] = mapped_column(Digest)
    consent_training: Mapped[bool]
    consent_given_at: Mapped[datetime | None]
    consent_withdrawn_at: Mapped[datetime | None]
    consent_guardian: Mapped[bool | None]
    kind: Mapped[str | None]
    feedback: Mapped[float | None]
    adapter_version: Mapped[str | None] = mapped_column(Identifier)
    style_tags: Mapped[list[str]] = mapped_column(JSON)
    safety_flags: Mapped[list[str]] = mapped_column(JSON)
    basis: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    golden: Mapped[bool] = mapped_column(server_default=false())
    other_keys: Mapped[list[str]] = mapped_column(JSON, server_default="[]")
    digest: Mapped[str] = mapped_column(Digest)
    received_at: Mapped[datetime]


class SetApartRow(Base):
    """A conversation, or a raw row that never became one, kept out of training with its reason."""

    __tablename__ = "set_apart"
    __table_args__ = (
        UniqueConstraint("digest"),
        Index(None, "persona_id", "id"),
        Index(None, "conversation_id"),
        Index(None, "user_key"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    digest: Mapped[str] = mapped_column(Digest)
    persona_id: Mapped[str | None] = mapped_column(Identifier)
    conversation_id: Mapped[str | None] = mapped_column(Identifier)
    user_key: Mapped[str | None] = mapped_column(Digest)
    source: Mapped[str] = mapped_column(Name)
    reason: Mapped[str]
    detail: Mapped[str]
    raw: Mapped[str | None]
    window: Mapped[datetime | None]
    set_apart_at: Mapped[datetime]
    decision: Mapped[str | None] = mapped_column(Name)
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]


class LearnedRow(Base):
    """A conversation that a deployed adapter was trained on; the first such adapter is named."""

    __tablename__ = "learned"
    __table_args__ = (Index(None, "adapter_version"),)

    conversation_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    persona_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    adapter_version: Mapped[str] = mapped_column(Identifier)
    dataset_version: Mapped[str] = mapped_column(Identifier)
    learned_at: Mapped[datetime]


class DatasetRowRow(Base):
    """One sample of one dataset version, and the conversation it came from."""

    __tablename__ = "dataset_rows"
    __table_args__ = (
        CheckConstraint("part IN ('train', 'holdout', 'anchor', 'preference')", name="part"),
        Index(None, "conversation_id"),
        Index(None, "sample_id"),
    )

    dataset_version: Mapped[str] = mapped_column(Identifier, primary_key=True)
    persona_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    sample_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    conversation_id: Mapped[str] = mapped_column(Identifier)
    part: Mapped[str] = mapped_column(Name)


class WindowRow(Base):
    """One pass of the loop for one persona, and how it ended; a replay of the past is a line of its own."""

    __tablename__ = "windows"
    __table_args__ = (
        CheckConstraint(
            "state IN ('running', 'deployed', 'won', 'kept', 'skipped', 'failed', 'cancelled')", name="state"
        ),
        CheckConstraint("line IN ('live', 'replay')", name="line"),
        Index(None, "dataset_version"),
        Index(None, "adapter_version"),
    )

    persona_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(Name, primary_key=True, server_default="live")
    state: Mapped[str] = mapped_column(Name)
    sentence: Mapped[str]
    dataset_version: Mapped[str | None] = mapped_column(Identifier)
    adapter_version: Mapped[str | None] = mapped_column(Identifier)
    mlflow_run_id: Mapped[str | None] = mapped_column(Identifier)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class TrainingRow(Base):
    """A window that trained; at most one row a window however often it is started again."""

    __tablename__ = "trainings"

    persona_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]


class LedgerRow(Base):
    """What was live, when and why. Append-only: triggers in the database refuse changes and deletions."""

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint("action IN ('deploy', 'rollback', 'promote')", name="action"),
        Index(None, "persona_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    persona_id: Mapped[str] = mapped_column(Identifier)
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(Name)
    champion: Mapped[str] = mapped_column(Identifier)
    previous: Mapped[str | None] = mapped_column(Identifier)
    digest: Mapped[str] = mapped_column(String(128))
    who: Mapped[str]
    why: Mapped[str]


class ErasureRow(Base):
    """A request to forget, written before anything is deleted, so that an interrupted one is finished."""

    __tablename__ = "erasures"
    __table_args__ = (
        CheckConstraint("kind IN ('delete', 'withdraw', 'drop')", name="kind"),
        CheckConstraint("state IN ('pending', 'emptied', 'done')", name="state"),
        Index(None, "state"),
        Index(None, "user_key"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(Name)
    user_key: Mapped[str | None] = mapped_column(Digest)
    since: Mapped[datetime | None]
    who: Mapped[str]
    state: Mapped[str] = mapped_column(Name)
    requested_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class TombstoneRow(Base):
    """What keeps a forgotten conversation from coming back with an old file. It holds no word of it."""

    __tablename__ = "tombstones"
    __table_args__ = (Index(None, "said"), Index(None, "erasure_id"))

    conversation_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    erasure_id: Mapped[int] = mapped_column(Integer)
    said: Mapped[str] = mapped_column(Digest)


class ErasureEntryRow(Base):
    """One line of a request's report: what was deleted where. Written before the deletion it tells of."""

    __tablename__ = "erasure_entries"

    erasure_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    place: Mapped[str] = mapped_column(Name, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    num: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime]


class SuccessorRow(Base):
    """A dataset version that was written anew without somebody's rows; None when it could not be."""

    __tablename__ = "dataset_successors"

    old_version: Mapped[str] = mapped_column(Identifier, primary_key=True)
    new_version: Mapped[str | None] = mapped_column(Identifier)
    erasure_id: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime]


class RetirementRow(Base):
    """An adapter that learned from what was later deleted: to be retired, and its persona trained anew."""

    __tablename__ = "retirements"
    __table_args__ = (Index(None, "persona_id"),)

    adapter_version: Mapped[str] = mapped_column(Identifier, primary_key=True)
    erasure_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    persona_id: Mapped[str] = mapped_column(Identifier)
    num_conversations: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime]


class LeaseRow(Base):
    """Who works on something now, where, and since when. A free lease keeps its row: its token only ever grows."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(Identifier, primary_key=True)
    holder: Mapped[str | None] = mapped_column(Identifier)
    token: Mapped[int] = mapped_column(Integer)
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(Integer)
    born: Mapped[str]
    doing: Mapped[str]
    acquired_at: Mapped[datetime]
    beat_at: Mapped[datetime]


class CrashRow(Base):
    """A time that a run was killed, and the step that it was at."""

    __tablename__ = "crashes"

    run_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    crashed_at: Mapped[datetime] = mapped_column(primary_key=True)
    step: Mapped[str]


class StopRow(Base):
    """A run that a planned stop of the platform broke off, and whether it was put back into the queue since."""

    __tablename__ = "stops"

    run_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    stopped_at: Mapped[datetime]
    handed_back: Mapped[bool]


class ProgressRow(Base):
    """How far the pass that a persona is in has come: stage, percent and a line of the step's; no word of anybody's."""

    __tablename__ = "progress"

    persona_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    as_of: Mapped[datetime]
    line: Mapped[str] = mapped_column(Name)
    stage: Mapped[str] = mapped_column(Name)
    percent: Mapped[float]
    told: Mapped[str]
    at: Mapped[datetime]


class NoticeRow(Base):
    """Something a person must hear of, written in the same transaction as what it tells of; no word of anybody's."""

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint(
            "event IN ('failed', 'rolled_back', 'trial_stopped', 'skipped_for_days', 'nothing_deployed', 'gave_up',"
            " 'deletion_waits', 'to_retire')",
            name="event",
        ),
        Index(None, "delivered_at", "given_up_at", "next_try_at"),
        Index(None, "at"),
    )

    id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    event: Mapped[str] = mapped_column(Name)
    persona_id: Mapped[str | None] = mapped_column(Identifier)
    at: Mapped[datetime]
    sentence: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    num_tries: Mapped[int] = mapped_column(Integer)
    next_try_at: Mapped[datetime]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]


class ConsentRow(Base):
    """What a person allows now. A withdrawal also stands in `erasures`, which outlasts this row."""

    __tablename__ = "consents"

    user_key: Mapped[str] = mapped_column(Digest, primary_key=True)
    training: Mapped[bool]
    given_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
    guardian: Mapped[bool | None]


class AnswerRow(Base):
    """One answer that was given: by whom and how, without a word of it and without the asker."""

    __tablename__ = "answers"
    __table_args__ = (Index(None, "persona_id", "at"), Index(None, "adapter_version"))

    answer_id: Mapped[str] = mapped_column(Identifier, primary_key=True)
    persona_id: Mapped[str] = mapped_column(Identifier)
    adapter_version: Mapped[str | None] = mapped_column(Identifier)
    digest: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime]
    num_prompt_tokens: Mapped[int] = mapped_column(Integer)
    num_tokens: Mapped[int] = mapped_column(Integer)
    num_chars: Mapped[int] = mapped_column(Integer)
    ended: Mapped[str] = mapped_column(Name)
    seconds: Mapped[float]
    seconds_to_first: Mapped[float]
    violations: Mapped[list[str]] = mapped_column(JSON)
    reaction: Mapped[float | None]
    reacted_at: Mapped[datetime | None]


class RolloutRow(Base):
    """A change of a candidate's trial; the newest row of a persona counts."""

    __tablename__ = "rollouts"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'promoted', 'stopped')", name="state"),
        CheckConstraint("share BETWEEN 0 AND 100", name="share"),
        Index(None, "persona_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    persona_id: Mapped[str] = mapped_column(Identifier)
    at: Mapped[datetime]
    state: Mapped[str] = mapped_column(Name)
    candidate: Mapped[str] = mapped_column(Identifier)
    digest: Mapped[str] = mapped_column(String(128))
    share: Mapped[int] = mapped_column(Integer)
    plan: Mapped[str | None]
    who: Mapped[str]
    why: Mapped[str]


class RemovedRow(Base):
    """An adapter version whose files go, or are gone: noted before the first of them is deleted."""

    __tablename__ = "removed"
    __table_args__ = (Index(None, "persona_id"),)

    adapter_version: Mapped[str] = mapped_column(Identifier, primary_key=True)
    persona_id: Mapped[str] = mapped_column(Identifier)
    at: Mapped[datetime]
    why: Mapped[str]
    finished_at: Mapped[datetime | None]


class BarredRow(Base):
    """A version that must never be live again, since it did worse than the one before it."""

    __tablename__ = "barred"
    __table_args__ = (Index(None, "persona_id"),)

    adapter_version: Mapped[str] = mapped_column(Identifier, primary_key=True)
    persona_id: Mapped[str] = mapped_column(Identifier)
    at: Mapped[datetime]
    who: Mapped[str]
    why: Mapped[str]
