"""The journal of the loop: which window of which persona was decided how, what trained, what it was made of.

It is what makes a run repeatable after a kill: a decided window is not decided twice, and a training is counted
once however often its window is started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, func, select

from nabi.database.engine import Database
from nabi.database.inserts import insert_new
from nabi.database.tables import DatasetRowRow, TrainingRow, WindowRow
from nabi.errors import DataError
from nabi.registry.notices import note_failure
from nabi.registry.succession import newest_version

Decided = Literal["deployed", "won", "kept", "skipped"]
Ended = Literal["deployed", "won", "kept", "skipped", "failed", "cancelled"]
State = Literal["running", "deployed", "won", "kept", "skipped", "failed", "cancelled"]
"""`won` is a replay's: it would have been deployed at that time. `cancelled`: a person broke its run off."""

Line = Literal["live", "replay"]
"""What windows follow each other in: what really happened, or the past played again beside it."""

LIVE: Line = "live"
REPLAY: Line = "replay"
Part = Literal["train", "holdout", "anchor", "preference"]

LEARNED_PARTS: tuple[Part, ...] = ("train", "preference")
"""The parts that a training learns from; answers marked bad are one of them."""

DECIDED: frozenset[str] = frozenset({"deployed", "won", "kept", "skipped"})
"""The states in which a window stays for good; a failed or cancelled one is free to be run again."""


@dataclass(frozen=True)
class Standing:
    """What the journal holds of one window. `sentence` is for people; `finished_at` is None while it runs."""

    persona_id: str
    as_of: datetime
    state: State
    sentence: str
    dataset_version: str | None
    adapter_version: str | None
    mlflow_run_id: str | None
    figures: Mapping[str, Any]
    started_at: datetime
    finished_at: datetime | None
    line: Line = LIVE


@dataclass(frozen=True)
class RowOrigin:
    """One sample of a dataset version and the conversation it came from."""

    sample_id: str
    conversation_id: str
    part: Part


@dataclass(frozen=True)
class Membership:
    """Where one conversation ended up: the dataset version, its part there, and the adapters trained on it."""

    persona_id: str
    dataset_version: str
    sample_id: str
    part: Part
    adapter_versions: tuple[str, ...]


class Journal:
    """Windows, trainings and dataset rows. All times are aware; `as_of` is compared as a point in time."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def start(self, persona_id: str, as_of: datetime, line: Line = LIVE) -> Standing | None:
        """Note that a window runs; the recorded outcome when it is decided already, None when it may run."""
        with self._database.write(lock=_lock(persona_id)) as session:
            row = session.get(WindowRow, (persona_id, as_of, line))
            if row is not None and row.state in DECIDED:
                return _standing(row)
            if row is None:
                row = WindowRow(persona_id=persona_id, as_of=as_of, line=line)
                session.add(row)
            row.state, row.sentence, row.figures = "running", "", {}
            row.dataset_version = row.adapter_version = row.mlflow_run_id = None
            row.started_at, row.finished_at = self._clock(), None
        return None

    def finish(
        self,
        persona_id: str,
        as_of: datetime,
        state: Ended,
        sentence: str,
        *,
        dataset_version: str | None = None,
        adapter_version: str | None = None,
        mlflow_run_id: str | None = None,
        figures: Mapping[str, Any] | None = None,
        line: Line = LIVE,
    ) -> Standing:
        """Note how a window ended, and return what stands: the first decision, if there was one already.

        Args:
            sentence: what happened and why, for people.
            figures: any JSON; its numbers are finite.

        Raises:
            DataError: the window was never started.
        """
        with self._database.write(lock=_lock(persona_id)) as session:
            row = session.get(WindowRow, (persona_id, as_of, line))
            if row is None:
                raise DataError(
                    f"the window of {as_of.isoformat()} was never started.",
                    where=f"persona {persona_id}",
                    fix="Call Journal.start first.",
                )
            if row.state not in DECIDED:
                row.state, row.sentence, row.figures = state, sentence, dict(figures or {})
                row.dataset_version = newest_version(session, dataset_version) if dataset_version else None
                row.adapter_version = adapter_version
                row.mlflow_run_id, row.finished_at = mlflow_run_id, self._clock()
                if state == "failed":
                    note_failure(session, row)
            return _standing(row)

    def ended(self, persona_id: str, num: int = 1000) -> list[Standing]:
        """The newest `num` live windows that came to an end, the last to end first, whatever time they are of."""
        ended = select(WindowRow).where(*_in_line(persona_id, LIVE), WindowRow.finished_at.is_not(None))
        with self._database.read() as session:
            rows = session.scalars(ended.order_by(WindowRow.finished_at.desc()).limit(num))
            return [_standing(row) for row in rows]

    def standing(self, persona_id: str, as_of: datetime, line: Line = LIVE) -> Standing | None:
        """What stands of one window; None when it never began."""
        with self._database.read() as session:
            row = session.get(WindowRow, (persona_id, as_of, line))
            return _standing(row) if row else None

    def latest(self, persona_id: str, num: int = 10, line: Line = LIVE) -> list[Standing]:
        """The newest `num` windows of a line, newest first."""
        newest = select(WindowRow).where(*_in_line(persona_id, line)).order_by(WindowRow.as_of.desc())
        with self._database.read() as session:
            return [_standing(row) for row in session.scalars(newest.limit(num))]

    def undecided(self, persona_id: str) -> set[tuple[datetime, Line]]:
        """The windows that run, wait, or were killed and not taken up again yet."""
        running = select(WindowRow.as_of, WindowRow.line).where(
            WindowRow.persona_id == persona_id, WindowRow.state == "running"
        )
        with self._database.read() as session:
            return {(as_of, cast(Line, line)) for as_of, line in session.execute(running)}

    def winners_before(self, persona_id: str, as_of: datetime, line: Line) -> list[Standing]:
        """The windows whose candidates became the champion one after the other before `as_of`, oldest first.

        A replay begins with what was live when its first window ended; from there on it is its own winners.
        """
        with self._database.read() as session:
            chosen = select(WindowRow).where(WindowRow.persona_id == persona_id, WindowRow.as_of < as_of)
            won = (WindowRow.line == LIVE) & (WindowRow.state == "deployed")
            if line == REPLAY:
                begun = session.scalar(select(func.min(WindowRow.as_of)).where(*_in_line(persona_id, REPLAY)))
                won &= WindowRow.as_of < (begun or as_of)
                won |= (WindowRow.line == REPLAY) & (WindowRow.state == "won")
            return [_standing(row) for row in session.scalars(chosen.where(won).order_by(WindowRow.as_of))]

    def dataset_before(self, persona_id: str, as_of: datetime, line: Line) -> str | None:
        """The newest dataset version that a line's windows before `as_of` were decided on; None when there is none."""
        decided = [*_in_line(persona_id, line), WindowRow.as_of < as_of, WindowRow.dataset_version.is_not(None)]
        newest = select(WindowRow.dataset_version).where(*decided).order_by(WindowRow.as_of.desc()).limit(1)
        with self._database.read() as session:
            return session.scalar(newest)

    def gates_before(self, persona_id: str, as_of: datetime, days: float, line: Line = LIVE) -> int:
        """How many windows that ended in the `days` before `as_of` had a candidate judged, this window left out."""
        judged = [
            *_in_line(persona_id, line),
            WindowRow.adapter_version.is_not(None),
            WindowRow.state.in_(["deployed", "won", "kept"]),
            WindowRow.as_of > as_of - timedelta(days=days),
            WindowRow.as_of < as_of,
        ]
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(WindowRow).where(*judged)) or 0

    def record_training(self, persona_id: str, as_of: datetime) -> None:
        """Count a training for its window; calling it again for the same window changes nothing."""
        with self._database.write() as session:
            insert_new(session, TrainingRow, [{"persona_id": persona_id, "as_of": as_of, "started_at": self._clock()}])

    def trainings_on_day(self, persona_id: str, as_of: datetime, timezone: str) -> int:
        """How many windows of the day that holds `as_of` trained, midnight to midnight in `timezone`."""
        return self._count_trainings(_on_day(persona_id, as_of, timezone))

    def other_trainings_on_day(self, persona_id: str, as_of: datetime, timezone: str) -> int:
        """The same without the window's own, so that a restarted window is not stopped by its own first try."""
        return self._count_trainings([*_on_day(persona_id, as_of, timezone), TrainingRow.as_of != as_of])

    def other_replays_on_day(self, persona_id: str, as_of: datetime, timezone: str) -> int:
        """The same in a replay, whose trainings are no trainings of the day that they are about."""
        begin, end = _day_of(as_of, timezone)
        replayed = [*_in_line(persona_id, REPLAY), WindowRow.as_of >= begin, WindowRow.as_of < end]
        trained = [WindowRow.adapter_version.is_not(None), WindowRow.as_of != as_of]
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(WindowRow).where(*replayed, *trained)) or 0

    def _count_trainings(self, conditions: list[ColumnElement[bool]]) -> int:
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(TrainingRow).where(*conditions)) or 0

    def record_dataset(self, dataset_version: str, persona_id: str, rows: Iterable[RowOrigin]) -> int:
        """Note which conversation each row of a dataset version came from; the number of rows that were new."""
        with self._database.write() as session:
            version = newest_version(session, dataset_version)
            values = (
                {
                    "dataset_version": version,
                    "persona_id": persona_id,
                    "sample_id": row.sample_id,
                    "conversation_id": row.conversation_id,
                    "part": row.part,
                }
                for row in rows
            )
            return insert_new(session, DatasetRowRow, values)

    def rows_of(self, dataset_version: str, persona_id: str) -> list[RowOrigin]:
        """Every row of a dataset version, or of what a deletion put in its place, in the order of the sample ids."""
        with self._database.read() as session:
            chosen = select(DatasetRowRow).where(
                DatasetRowRow.dataset_version == newest_version(session, dataset_version),
                DatasetRowRow.persona_id == persona_id,
            )
            rows = session.scalars(chosen.order_by(DatasetRowRow.sample_id))
            return [RowOrigin(row.sample_id, row.conversation_id, cast(Part, row.part)) for row in rows]

    def conversations_of(self, dataset_version: str, persona_id: str) -> list[str]:
        """The conversations in any part of a dataset version, by id."""
        rows = self.rows_of(dataset_version, persona_id)
        return sorted({row.conversation_id for row in rows})

    def trained_on(self, adapter_version: str) -> list[str]:
        """The conversations an adapter was trained on, bad answers included, by id."""
        learned_from = (
            select(DatasetRowRow.conversation_id)
            .join(WindowRow, _same_dataset())
            .where(WindowRow.adapter_version == adapter_version, DatasetRowRow.part.in_(LEARNED_PARTS))
            .order_by(DatasetRowRow.conversation_id)
        )
        with self._database.read() as session:
            return list(session.scalars(learned_from.distinct()))

    def memberships(self, conversation_id: str) -> list[Membership]:
        """Every dataset version that holds a conversation, and the adapters that learned from it there."""
        held = select(DatasetRowRow).where(DatasetRowRow.conversation_id == conversation_id)
        ordered = held.order_by(DatasetRowRow.dataset_version, DatasetRowRow.persona_id, DatasetRowRow.sample_id)
        with self._database.read() as session:
            return [
                Membership(
                    persona_id=row.persona_id,
                    dataset_version=row.dataset_version,
                    sample_id=row.sample_id,
                    part=cast(Part, row.part),
                    adapter_versions=tuple(session.scalars(_adapters_of(row))) if row.part in LEARNED_PARTS else (),
                )
                for row in session.scalars(ordered).all()
            ]


def _same_dataset() -> ColumnElement[bool]:
    return (WindowRow.dataset_version == DatasetRowRow.dataset_version) & (
        WindowRow.persona_id == DatasetRowRow.persona_id
    )


def _adapters_of(row: DatasetRowRow) -> Select[tuple[str | None]]:
    return (
        select(WindowRow.adapter_version)
        .where(
            WindowRow.dataset_version == row.dataset_version,
            WindowRow.persona_id == row.persona_id,
            WindowRow.adapter_version.is_not(None),
        )
        .distinct()
        .order_by(WindowRow.adapter_version)
    )


def _in_line(persona_id: str, line: Line) -> list[ColumnElement[bool]]:
    return [WindowRow.persona_id == persona_id, WindowRow.line == line]


def _on_day(persona_id: str, as_of: datetime, timezone: str) -> list[ColumnElement[bool]]:
    begin, end = _day_of(as_of, timezone)
    return [TrainingRow.persona_id == persona_id, TrainingRow.as_of >= begin, TrainingRow.as_of < end]


def _day_of(as_of: datetime, timezone: str) -> tuple[datetime, datetime]:
    zone = ZoneInfo(timezone)
    day = as_of.astimezone(zone).date()
    # Both midnights are built from their own date: a day with a clock change has 23 or 25 hours.
    begin = datetime.combine(day, clock_time.min, zone)
    end = datetime.combine(day + timedelta(days=1), clock_time.min, zone)
    return begin, end


def _lock(persona_id: str) -> str:
    return f"windows {persona_id}"


def _standing(row: WindowRow) -> Standing:
    return Standing(
        persona_id=row.persona_id,
        as_of=row.as_of,
        state=cast(State, row.state),
        sentence=row.sentence,
        dataset_version=row.dataset_version,
        adapter_version=row.adapter_version,
        mlflow_run_id=row.mlflow_run_id,
        figures=row.figures,
        started_at=row.started_at,
        finished_at=row.finished_at,
        line=cast(Line, row.line),
    )
