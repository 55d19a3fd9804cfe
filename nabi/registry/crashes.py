"""Where runs were killed, so that one that dies at the same step again and again is stopped."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from nabi.database.engine import Database
from nabi.database.inserts import insert_new
from nabi.database.tables import CrashRow


class Crashes:
    """Deaths of runs, by the step they were at."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, run_id: str, crashed_at: datetime, step: str) -> None:
        """Notes one death; the same one only once."""
        with self._database.write() as session:
            insert_new(session, CrashRow, [{"run_id": run_id, "crashed_at": crashed_at, "step": step}])

    def of(self, run_ids: Iterable[str]) -> dict[str, list[tuple[datetime, str]]]:
        """Run → its deaths (when, at which step), oldest first; runs that never died are left out."""
        wanted = select(CrashRow).where(CrashRow.run_id.in_(list(run_ids))).order_by(CrashRow.crashed_at)
        deaths: dict[str, list[tuple[datetime, str]]] = {}
        with self._database.read() as session:
            for row in session.scalars(wanted):
                deaths.setdefault(row.run_id, []).append((row.crashed_at, row.step))
        return deaths
