"""The record of each answer: which version gave it, how long it took, which rules it broke, how people reacted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from nabi.conversations.records import Frozen, Moment
from nabi.database.engine import Database
from nabi.database.inserts import insert_new
from nabi.database.tables import AnswerRow
from nabi.registry.regression import Measured


class AnswerRecord(Frozen):
    """One answer. `digest` is the adapter's, or the base's revision; `adapter_version` None means the bare base."""

    answer_id: str
    persona_id: str
    adapter_version: str | None
    digest: str
    at: Moment
    num_prompt_tokens: int
    num_tokens: int
    num_chars: int
    ended: str
    seconds: float
    seconds_to_first: float
    violations: tuple[str, ...] = ()


class Answers:
    """Keeps the records; the same one again changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: Iterable[AnswerRecord]) -> int:
        """Keeps records; the number that was new."""
        rows = ({**record.model_dump(), "violations": list(record.violations)} for record in records)
        with self._database.write() as session:
            return insert_new(session, AnswerRow, rows)

    def get(self, answer_id: str) -> AnswerRecord | None:
        with self._database.read() as session:
            row = session.get(AnswerRow, answer_id)
            if row is None:
                return None
            return AnswerRecord(**{name: getattr(row, name) for name in AnswerRecord.model_fields})

    def react(self, answer_id: str, reaction: float, at: datetime) -> bool:
        """Keeps how the user took an answer, -1 bad to 1 good, the newest one; False when there is no such answer."""
        with self._database.write() as session:
            row = session.get(AnswerRow, answer_id)
            if row is None:
                return False
            row.reaction, row.reacted_at = reaction, at
            return True

    def reaction(self, answer_id: str) -> float | None:
        with self._database.read() as session:
            row = session.get(AnswerRow, answer_id)
            return row.reaction if row else None

    def measured(
        self, persona_id: str, adapter_version: str, *, num: int, since: datetime | None = None
    ) -> list[Measured]:
        """The newest answers of a version, as `regression` compares them."""
        chosen = select(AnswerRow).where(
            AnswerRow.persona_id == persona_id, AnswerRow.adapter_version == adapter_version
        )
        if since is not None:
            chosen = chosen.where(AnswerRow.at >= since)
        with self._database.read() as session:
            return [_measured(row) for row in session.scalars(chosen.order_by(AnswerRow.at.desc()).limit(num))]

    def first_and_later(
        self, persona_id: str, adapter_version: str, *, since: datetime, num_first: int, num_later: int
    ) -> tuple[list[Measured], list[Measured]]:
        """A version's first answers since it went live, oldest first, and the newest of those after them."""
        chosen = select(AnswerRow).where(
            AnswerRow.persona_id == persona_id, AnswerRow.adapter_version == adapter_version
        )
        with self._database.read() as session:
            begun = chosen.where(AnswerRow.at >= since).order_by(AnswerRow.at).limit(num_first)
            first = list(session.scalars(begun))
            if not first:
                return [], []
            after = chosen.where(AnswerRow.at > first[-1].at).order_by(AnswerRow.at.desc()).limit(num_later)
            return [_measured(row) for row in first], [_measured(row) for row in session.scalars(after)]


def _measured(row: AnswerRow) -> Measured:
    return Measured(row.num_chars, row.seconds, bool(row.violations), row.reaction)
