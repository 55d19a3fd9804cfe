"""The append-only ledger: which adapter version was live, since when, and why.

MLflow keeps only the present alias; the ledger keeps every change, and is where "live" is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nabi.database.engine import Database
from nabi.database.tables import LedgerRow
from nabi.errors import ConfigError, ModelError
from nabi.registry.in_force import lock_of, newest_entry
from nabi.registry.leases import Lease, check
from nabi.registry.notices import note_rollback
from nabi.registry.removals import refuse_removed
from nabi.registry.rollouts import refuse_barred, refuse_under_trial

Action = Literal["deploy", "rollback", "promote"]


@dataclass(frozen=True)
class Entry:
    """One change of what is live. `previous` is the rollback target after the change; `digest` the champion's."""

    id: int
    persona_id: str
    at: datetime
    action: Action
    champion: str
    previous: str | None
    digest: str
    who: str
    why: str


@dataclass(frozen=True)
class Live:
    """What answers now. `digest` is the champion's, `since` the time of the change that made it live."""

    champion: str
    previous: str | None
    digest: str
    since: datetime


class Ledger:
    """Reads and appends the ledger; each change is one transaction, one writer at a time for a persona."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def deploy(
        self, persona_id: str, version: str, digest: str, *, who: str, why: str, lease: Lease | None = None
    ) -> Live:
        """Make `version` the champion and the old champion its rollback target.

        A version is deployed once. Asked again, by a run that was killed after its deployment, nothing is written and
        what stands comes back, also when somebody rolled the version back in between.

        Args:
            lease: under which the persona is taught; a process that lost it changes nothing.

        Raises:
            ModelError: this version was live before with another digest; a version never changes.
            ConfigError: the version is barred from being live again, or its files were removed.
            OnTrial: another candidate is on trial; the champion does not change under it.
            LeaseLost: another process works on the persona now.
        """
        row = LedgerRow(action="deploy", champion=version, digest=digest, who=who, why=why)
        return self._put_live(persona_id, row, lease)

    def promote(self, persona_id: str, version: str, digest: str, *, who: str, why: str) -> Live:
        """The same by a person's hand, past the gate; the ledger says so."""
        return self._put_live(
            persona_id, LedgerRow(action="promote", champion=version, digest=digest, who=who, why=why)
        )

    def rollback(self, persona_id: str, *, who: str, why: str, only_from: str | None = None) -> Live:
        """Swap champion and previous.

        Args:
            only_from: roll back only while this version is live; else what stands comes back. So two watchers that
                see the same regression do not roll back twice.

        Raises:
            ConfigError: there is no previous version to go back to.
        """
        with self._database.write(lock=lock_of(persona_id)) as session:
            standing = newest_entry(session, persona_id)
            if standing is not None and only_from not in (None, standing.champion):
                return _live(standing)
            if standing is None or standing.previous is None:
                only = f"only {standing.champion} was ever live" if standing else "nothing is live yet"
                raise ConfigError(
                    f"there is no previous adapter to roll back to: {only}.",
                    where=f"persona {persona_id}",
                    fix="Train and deploy another version first; see what exists with: nabi adapters list",
                )
            digest = _known_digest(session, persona_id, standing.previous)
            row = LedgerRow(action="rollback", champion=standing.previous, digest=digest, who=who, why=why)
            back = self._append(session, persona_id, row, previous=standing.champion)
            note_rollback(session, row)
            return back

    def live(self, persona_id: str) -> Live | None:
        """What is live now; None when nothing ever was and the bare base model answers."""
        with self._database.read() as session:
            row = newest_entry(session, persona_id)
        return _live(row) if row else None

    def all_live(self) -> dict[str, Live]:
        """What is live now of every persona that ever had something live, in one look."""
        newest = select(func.max(LedgerRow.id)).group_by(LedgerRow.persona_id)
        with self._database.read() as session:
            rows = session.scalars(select(LedgerRow).where(LedgerRow.id.in_(newest)))
            return {row.persona_id: _live(row) for row in rows}

    def history(self, persona_id: str) -> list[Entry]:
        """Every change, oldest first."""
        with self._database.read() as session:
            rows = session.scalars(select(LedgerRow).where(LedgerRow.persona_id == persona_id).order_by(LedgerRow.id))
            return [_entry(row) for row in rows]

    def _put_live(self, persona_id: str, row: LedgerRow, lease: Lease | None = None) -> Live:
        with self._database.write(lock=lock_of(persona_id)) as session:
            check(session, lease)
            known = _known_digest(session, persona_id, row.champion)
            if known is not None and known != row.digest:
                raise ModelError(
                    f"{row.champion} was live with digest {known}, and now comes with {row.digest}.",
                    where=f"persona {persona_id}",
                    fix="A version never changes: register the new weights as a new version.",
                )
            standing = newest_entry(session, persona_id)
            again = row.action == "deploy" and _was_deployed(session, persona_id, row.champion)
            if standing is not None and (again or standing.champion == row.champion):
                return _live(standing)
            refuse_barred(session, row.champion)
            refuse_removed(session, row.champion)
            if row.action == "deploy":
                refuse_under_trial(session, persona_id, row.champion)
            return self._append(session, persona_id, row, previous=standing.champion if standing else None)

    def _append(self, session: Session, persona_id: str, row: LedgerRow, *, previous: str | None) -> Live:
        row.persona_id, row.previous, row.at = persona_id, previous, self._clock()
        session.add(row)
        return _live(row)


def _known_digest(session: Session, persona_id: str, version: str) -> str | None:
    """The digest that `version` was live with; None when it never was."""
    seen = select(LedgerRow.digest).where(LedgerRow.persona_id == persona_id, LedgerRow.champion == version)
    return session.scalars(seen.order_by(LedgerRow.id.desc()).limit(1)).first()


def _was_deployed(session: Session, persona_id: str, version: str) -> bool:
    deployed = select(LedgerRow.id).where(
        LedgerRow.persona_id == persona_id, LedgerRow.champion == version, LedgerRow.action == "deploy"
    )
    return session.scalars(deployed.limit(1)).first() is not None


def _live(row: LedgerRow) -> Live:
    return Live(champion=row.champion, previous=row.previous, digest=row.digest, since=row.at)


def _entry(row: LedgerRow) -> Entry:
    return Entry(
        id=row.id,
        persona_id=row.persona_id,
        at=row.at,
        action=cast(Action, row.action),
        champion=row.champion,
        previous=row.previous,
        digest=row.digest,
        who=row.who,
        why=row.why,
    )
