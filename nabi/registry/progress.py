"""How far each persona's pass has come, for whoever does not look into Prefect's pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from nabi.database.engine import Database
from nabi.database.tables import ProgressRow, WindowRow
from nabi.registry.journal import LIVE, Line


@dataclass(frozen=True)
class Progress:
    """A pass that is under way. `stage` is a word of the loop's, `told` a line of the step's, `at` when it said so."""

    as_of: datetime
    stage: str
    percent: float
    told: str
    at: datetime


class ProgressBook:
    """The newest word of each persona's pass; of several one after the other the last. May be shared by processes."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def note(
        self, persona_id: str, as_of: datetime, line: Line = LIVE, *, stage: str, percent: float, told: str
    ) -> None:
        row = ProgressRow(
            persona_id=persona_id, as_of=as_of, line=line, stage=stage, percent=percent, told=told, at=self._clock()
        )
        with self._database.write() as session:
            session.merge(row)

    def of(self, persona_id: str) -> Progress | None:
        """Where the persona's pass is; None while none is under way."""
        with self._database.read() as session:
            row = session.get(ProgressRow, persona_id)
            window = session.get(WindowRow, (persona_id, row.as_of, row.line)) if row else None
            if row is None or window is None or window.state != "running":
                return None
            return Progress(as_of=row.as_of, stage=row.stage, percent=row.percent, told=row.told, at=row.at)
