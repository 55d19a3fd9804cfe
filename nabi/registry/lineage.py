"""From a conversation to everything that was made of it, and back: samples, dataset versions, adapters, what is live.

Deletions rewrite dataset versions and taint adapters; both are noted here, so that an old name still leads somewhere
and no adapter that learned from deleted words is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session, aliased

from nabi.database.engine import Database
from nabi.database.inserts import batches, insert_new
from nabi.database.tables import (
    ConversationRow,
    DatasetRowRow,
    LearnedRow,
    RetirementRow,
    SuccessorRow,
    WindowRow,
)
from nabi.registry.journal import LEARNED_PARTS
from nabi.registry.notices import note_retirement
from nabi.registry.succession import newest_version

CATALOGUE = "bootstrap"
"""The source of rows that come from no stored conversation: dialogues made from the catalogue."""


@dataclass(frozen=True)
class SampleTrace:
    """One sample of one dataset version."""

    persona_id: str
    dataset_version: str
    sample_id: str
    conversation_id: str
    part: str


@dataclass(frozen=True)
class TrainedAdapter:
    """An adapter as the journal knows it: whose it is and what it was made of."""

    adapter_version: str
    persona_id: str
    dataset_version: str | None
    mlflow_run_id: str | None
    as_of: datetime
    state: str


@dataclass(frozen=True)
class Retirement:
    """An adapter that learned from what was deleted since, and from how many conversations."""

    adapter_version: str
    persona_id: str
    erasure_id: int
    num_conversations: int
    at: datetime


class Lineage:
    """Reads the journal's rows in both directions."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def samples_of_conversations(self, conversation_ids: Collection[str]) -> list[SampleTrace]:
        """Every sample made of these conversations, in any dataset version."""
        found = (self._samples(DatasetRowRow.conversation_id.in_(ids)) for ids in batches(conversation_ids))
        return [sample for samples in found for sample in samples]

    def samples_named(self, sample_id: str) -> list[SampleTrace]:
        """A sample in every dataset version that holds it."""
        return self._samples(DatasetRowRow.sample_id == sample_id)

    def samples_in(self, dataset_version: str, persona_id: str | None = None) -> list[SampleTrace]:
        """The samples of a dataset version, of one persona or of all."""
        conditions = [DatasetRowRow.dataset_version == dataset_version]
        if persona_id is not None:
            conditions.append(DatasetRowRow.persona_id == persona_id)
        return self._samples(*conditions)

    def adapters_on(self, dataset_versions: Collection[str]) -> list[TrainedAdapter]:
        """The adapters that windows trained on these dataset versions."""
        return self._adapters(WindowRow.dataset_version.in_(list(dataset_versions)))

    def adapter(self, adapter_version: str) -> TrainedAdapter | None:
        """The newest window that ended with this adapter; None when its window failed before it was decided."""
        found = self._adapters(WindowRow.adapter_version == adapter_version)
        return found[-1] if found else None

    def sources(self, conversation_ids: Collection[str]) -> dict[str, int]:
        """How many of these came from which source; what is no stored conversation came from the catalogue."""
        columns = select(ConversationRow.conversation_id, ConversationRow.source)
        held: dict[str, str] = {}
        with self._database.read() as session:
            for ids in batches(conversation_ids):
                chosen = columns.where(ConversationRow.conversation_id.in_(ids))
                held.update(session.execute(chosen).tuples().all())
        counted = Counter(held.get(conversation_id, CATALOGUE) for conversation_id in conversation_ids)
        return dict(counted.most_common())

    # What deletions changed

    def replace_version(self, old: str, new: str | None, erasure_id: int) -> None:
        """Notes that a dataset version was written anew, and moves what the journal says about it to the new name."""
        with self._database.write() as session:
            row = {"old_version": old, "new_version": new, "erasure_id": erasure_id, "at": self._clock()}
            if insert_new(session, SuccessorRow, [row]) and new is not None:
                _rename(session, old, new)

    def newest(self, dataset_version: str) -> str:
        """The version that stands in a version's place today: itself, unless deletions replaced it."""
        with self._database.read() as session:
            return newest_version(session, dataset_version)

    def replaced_by(self, erasure_id: int) -> dict[str, str | None]:
        """Old version → new version of one deletion."""
        chosen = select(SuccessorRow.old_version, SuccessorRow.new_version)
        with self._database.read() as session:
            return dict(session.execute(chosen.where(SuccessorRow.erasure_id == erasure_id)).tuples().all())

    def personas_of(self, dataset_version: str) -> list[str]:
        """Whose rows a dataset version holds."""
        chosen = select(DatasetRowRow.persona_id).where(DatasetRowRow.dataset_version == dataset_version).distinct()
        with self._database.read() as session:
            return list(session.scalars(chosen.order_by(DatasetRowRow.persona_id)))

    def ancestors(self, dataset_version: str) -> list[str]:
        """The versions whose place a version took, however many deletions ago."""
        older = (
            select(SuccessorRow.old_version)
            .where(SuccessorRow.new_version == dataset_version)
            .cte("older", recursive=True)
        )
        next_older = aliased(SuccessorRow)
        older = older.union(select(next_older.old_version).where(next_older.new_version == older.c.old_version))
        with self._database.read() as session:
            return list(session.scalars(select(older.c.old_version)))

    def trained_counts(self, conversation_ids: Collection[str]) -> dict[tuple[str, str], int]:
        """(persona, dataset version) → how many of these conversations its learned parts hold."""
        rows = self.samples_of_conversations(conversation_ids)
        held = {(row.persona_id, row.dataset_version, row.conversation_id) for row in rows if row.part in LEARNED_PARTS}
        return Counter((persona_id, version) for persona_id, version, _conversation_id in held)

    def retire(self, adapters: Iterable[tuple[str, str, int]], erasure_id: int) -> None:
        """Marks adapters (version, persona, number of conversations) as having learned from what is deleted now."""
        at = self._clock()
        of_persona: dict[str, list[str]] = {}
        rows = []
        for version, persona_id, num in adapters:
            of_persona.setdefault(persona_id, []).append(version)
            rows.append(
                {
                    "adapter_version": version,
                    "erasure_id": erasure_id,
                    "persona_id": persona_id,
                    "num_conversations": num,
                    "at": at,
                }
            )
        with self._database.write() as session:
            insert_new(session, RetirementRow, rows)
            for persona_id, versions in of_persona.items():
                note_retirement(session, persona_id, versions, erasure_id, at)

    def retirements(self, persona_id: str | None = None, erasure_id: int | None = None) -> list[Retirement]:
        """The adapters to be retired, in the order of the deletions."""
        chosen = select(RetirementRow).order_by(RetirementRow.erasure_id, RetirementRow.adapter_version)
        if persona_id is not None:
            chosen = chosen.where(RetirementRow.persona_id == persona_id)
        if erasure_id is not None:
            chosen = chosen.where(RetirementRow.erasure_id == erasure_id)
        with self._database.read() as session:
            return [
                Retirement(row.adapter_version, row.persona_id, row.erasure_id, row.num_conversations, row.at)
                for row in session.scalars(chosen)
            ]

    def _samples(self, *conditions: ColumnElement[bool]) -> list[SampleTrace]:
        chosen = select(DatasetRowRow).where(*conditions)
        ordered = chosen.order_by(DatasetRowRow.dataset_version, DatasetRowRow.persona_id, DatasetRowRow.sample_id)
        with self._database.read() as session:
            return [
                SampleTrace(row.persona_id, row.dataset_version, row.sample_id, row.conversation_id, row.part)
                for row in session.scalars(ordered)
            ]

    def _adapters(self, *conditions: ColumnElement[bool]) -> list[TrainedAdapter]:
        chosen = select(WindowRow).where(*conditions, WindowRow.adapter_version.is_not(None)).order_by(WindowRow.as_of)
        with self._database.read() as session:
            return [
                TrainedAdapter(
                    adapter_version=row.adapter_version or "",
                    persona_id=row.persona_id,
                    dataset_version=row.dataset_version,
                    mlflow_run_id=row.mlflow_run_id,
                    as_of=row.as_of,
                    state=row.state,
                )
                for row in session.scalars(chosen)
            ]


def _rename(session: Session, old: str, new: str) -> None:
    """The journal under the new name; rows that the new version has already are not kept twice."""
    twin = aliased(DatasetRowRow)
    has_twin = (
        select(twin.sample_id)
        .where(
            twin.dataset_version == new,
            twin.persona_id == DatasetRowRow.persona_id,
            twin.sample_id == DatasetRowRow.sample_id,
        )
        .exists()
    )
    session.execute(
        delete(DatasetRowRow)
        .where(DatasetRowRow.dataset_version == old, has_twin)
        .execution_options(synchronize_session=False)
    )
    for table in (DatasetRowRow, WindowRow, LearnedRow):
        session.execute(
            update(table)
            .where(table.dataset_version == old)
            .values(dataset_version=new)
            .execution_options(synchronize_session=False)
        )
