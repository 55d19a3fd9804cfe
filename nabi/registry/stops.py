"""Which runs a planned stop of the platform broke off: what it ends is no crash, however long that takes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from nabi.database.engine import Database
from nabi.database.tables import StopRow

KEPT = timedelta(days=30)
"""Far longer than a run that was stopped waits to go on."""


class Stops:
    """Planned stops, by the run that each broke off; of several stops of one run the last."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, run_ids: Iterable[str], at: datetime) -> None:
        """Leaves word that these runs are about to be broken off. To be called before their processes are ended."""
        with self._database.write() as session:
            session.execute(delete(StopRow).where(StopRow.stopped_at < at - KEPT))
            for run_id in run_ids:
                session.merge(StopRow(run_id=run_id, stopped_at=at, handed_back=False))

    def note_handed_back(self, run_id: str) -> None:
        """The run goes on; whatever ends its next process is judged anew."""
        with self._database.write() as session:
            session.execute(update(StopRow).where(StopRow.run_id == run_id).values(handed_back=True))

    def of(self, run_ids: Iterable[str]) -> dict[str, bool]:
        """Run → whether it was handed back since; runs that were never broken off are left out."""
        wanted = select(StopRow).where(StopRow.run_id.in_(list(run_ids)))
        with self._database.read() as session:
            return {row.run_id: row.handed_back for row in session.scalars(wanted)}
