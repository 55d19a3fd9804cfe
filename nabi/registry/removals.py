"""Adapter versions whose files were removed because nobody needs them any more; their figures and records stay.

The note comes first, in the transaction that makes sure that the version is not in force: from then on it cannot be
made live or tried, and the deletion of its files may be killed and repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from nabi.database.engine import Database
from nabi.database.tables import RemovedRow
from nabi.errors import ConfigError
from nabi.registry.in_force import lock_of, versions_in_force


@dataclass(frozen=True)
class Removal:
    """A version without files. `finished_at` is None while some of them may still be there."""

    adapter_version: str
    persona_id: str
    at: datetime
    why: str
    finished_at: datetime | None


class Removals:
    """Notes which versions' files go, and which are gone."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def in_force(self, persona_id: str) -> frozenset[str]:
        """The versions that must not go: live, what a rollback puts back, on trial."""
        with self._database.read() as session:
            return versions_in_force(session, persona_id)

    def begin(self, persona_id: str, superfluous: Mapping[str, str]) -> list[str]:
        """Notes that the files of these versions go, each with its reason; those that are new to this.

        What is in force at this moment is left out, whatever was known when the versions were chosen.
        """
        with self._database.write(lock=lock_of(persona_id)) as session:
            in_force = versions_in_force(session, persona_id)
            begun = [
                RemovedRow(adapter_version=version, persona_id=persona_id, at=self._clock(), why=why)
                for version, why in superfluous.items()
                if version not in in_force and session.get(RemovedRow, version) is None
            ]
            session.add_all(begun)
            return [row.adapter_version for row in begun]

    def finish(self, version: str) -> None:
        """Notes that none of a version's files is left; the first time counts."""
        with self._database.write() as session:
            row = session.get_one(RemovedRow, version)
            row.finished_at = row.finished_at or self._clock()

    def unfinished(self) -> list[Removal]:
        """What was begun, of all personas, and may have been interrupted."""
        return self._found(RemovedRow.finished_at.is_(None))

    def of(self, persona_id: str) -> dict[str, Removal]:
        """A persona's versions without files, by name."""
        return {it.adapter_version: it for it in self._found(RemovedRow.persona_id == persona_id)}

    def refuse(self, version: str) -> None:
        """Raises ConfigError when a version's files were removed."""
        with self._database.read() as session:
            refuse_removed(session, version)

    def _found(self, condition: ColumnElement[bool]) -> list[Removal]:
        chosen = select(RemovedRow).where(condition).order_by(RemovedRow.at, RemovedRow.adapter_version)
        with self._database.read() as session:
            return [
                Removal(row.adapter_version, row.persona_id, row.at, row.why, row.finished_at)
                for row in session.scalars(chosen)
            ]


def refuse_removed(session: Session, version: str) -> None:
    """Within a transaction: raises ConfigError when a version's files were removed."""
    row = session.get(RemovedRow, version)
    if row is not None:
        raise ConfigError(
            f"the files of {version} were removed on {row.at:%Y-%m-%d}: {row.why}.",
            where=f"persona {row.persona_id}",
            fix="Its figures and its record stay. `nabi adapters list` names the versions that can be used.",
        )
