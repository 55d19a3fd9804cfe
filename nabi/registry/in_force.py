"""What is in force for a persona, read within the transaction that decides something by it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from nabi.database.tables import LedgerRow, RolloutRow


def lock_of(persona_id: str) -> str:
    """The lock under which everything changes that is in force for a persona."""
    return f"ledger {persona_id}"


def newest_entry(session: Session, persona_id: str) -> LedgerRow | None:
    """The newest change of what is live: its champion answers, its previous is the rollback target."""
    newest = select(LedgerRow).where(LedgerRow.persona_id == persona_id).order_by(LedgerRow.id.desc()).limit(1)
    return session.scalars(newest).first()


def running_trial(session: Session, persona_id: str) -> RolloutRow | None:
    """The trial that goes on; None when there is none."""
    newest = select(RolloutRow).where(RolloutRow.persona_id == persona_id).order_by(RolloutRow.id.desc()).limit(1)
    row = session.scalars(newest).first()
    return row if row is not None and row.state == "running" else None


def versions_in_force(session: Session, persona_id: str) -> frozenset[str]:
    """The versions that answer or may answer at any moment: the champion, the rollback target, the one on trial."""
    entry, trial = newest_entry(session, persona_id), running_trial(session, persona_id)
    versions = {entry.champion, entry.previous} if entry else set()
    if trial is not None:
        versions.add(trial.candidate)
    return frozenset(version for version in versions if version is not None)
