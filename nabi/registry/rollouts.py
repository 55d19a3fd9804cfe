"""A candidate on trial: it answers a share of the sessions, always the same ones, until it is promoted or stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nabi.database.engine import Database
from nabi.database.tables import BarredRow, RolloutRow
from nabi.errors import ConfigError
from nabi.personas.model import RolloutPlan
from nabi.registry.in_force import lock_of, newest_entry, running_trial
from nabi.registry.removals import refuse_removed

Outcome = Literal["promoted", "stopped"]
_State = Literal["running", "promoted", "stopped"]


@dataclass(frozen=True)
class Rollout:
    """A candidate that answers `share` percent of the sessions since `since`; the share grows by the plan, if any."""

    persona_id: str
    candidate: str
    digest: str
    share: int
    since: datetime
    plan: RolloutPlan | None = None


@dataclass(frozen=True)
class TrialChange:
    """One change of a persona's trials: begun or given another share, ended, or ended because it went live."""

    at: datetime
    state: _State
    candidate: str
    share: int
    who: str
    why: str


class Rollouts:
    """Begins and ends trials; every change is one row that stays."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def start(
        self,
        persona_id: str,
        candidate: str,
        digest: str,
        share: int,
        *,
        who: str,
        why: str,
        plan: RolloutPlan | None = None,
    ) -> Rollout:
        """Gives a candidate a share of the sessions, or the running one another share.

        Args:
            plan: how the share grows from here on; None leaves it to whoever starts it.

        Raises:
            ConfigError: the share is not in 1…100, another candidate is on trial, or this one is live,
                barred or without files.
        """
        if not 1 <= share <= 100:
            raise ConfigError(f"a share of {share} % is not in 1…100.", where="--share")
        with self._database.write(lock=lock_of(persona_id)) as session:
            running = running_trial(session, persona_id)
            if running is not None and running.candidate != candidate:
                raise ConfigError(
                    f"{running.candidate} is on trial already.",
                    where=f"persona {persona_id}",
                    fix=_how_to_end(running.candidate),
                )
            live = newest_entry(session, persona_id)
            if live is not None and live.champion == candidate:
                raise ConfigError(f"{candidate} is live: all sessions are its own.", where=f"persona {persona_id}")
            refuse_barred(session, candidate)
            refuse_removed(session, candidate)
            return self._give(session, Rollout(persona_id, candidate, digest, share, self._clock(), plan), who, why)

    def step(self, seen: Rollout, share: int, *, who: str, why: str) -> Rollout | None:
        """Gives a trial its next share, if it still is as it was seen; None when something happened since.

        So two servers that watch one persona take a step once, and none takes it after the trial was ended by hand.
        """
        with self._database.write(lock=lock_of(seen.persona_id)) as session:
            running = running_trial(session, seen.persona_id)
            if running is None or _rollout(running) != seen:
                return None
            grown = Rollout(seen.persona_id, seen.candidate, seen.digest, share, self._clock(), seen.plan)
            return self._give(session, grown, who, why)

    def _give(self, session: Session, rollout: Rollout, who: str, why: str) -> Rollout:
        row = RolloutRow(
            persona_id=rollout.persona_id,
            at=rollout.since,
            state="running",
            candidate=rollout.candidate,
            digest=rollout.digest,
            share=rollout.share,
            plan=rollout.plan.model_dump_json() if rollout.plan else None,
            who=who,
            why=why,
        )
        session.add(row)
        return rollout

    def end(
        self, persona_id: str, outcome: Outcome, *, who: str, why: str, only_of: str | None = None
    ) -> Rollout | None:
        """Ends the trial of a persona; None when there is none.

        Args:
            only_of: the candidate that is meant; another one's trial goes on.
        """
        with self._database.write(lock=lock_of(persona_id)) as session:
            running = running_trial(session, persona_id)
            if running is None or only_of not in (None, running.candidate):
                return None
            change = {"state": outcome, "candidate": running.candidate, "digest": running.digest, "share": 0}
            session.add(RolloutRow(persona_id=persona_id, at=self._clock(), who=who, why=why, **change))
            return _rollout(running)

    def running(self, persona_id: str) -> Rollout | None:
        """The trial of a persona."""
        with self._database.read() as session:
            row = running_trial(session, persona_id)
            return _rollout(row) if row else None

    def history(self, persona_id: str) -> list[TrialChange]:
        """Every change of a persona's trials, oldest first."""
        chosen = select(RolloutRow).where(RolloutRow.persona_id == persona_id).order_by(RolloutRow.id)
        with self._database.read() as session:
            return [
                TrialChange(row.at, cast(_State, row.state), row.candidate, row.share, row.who, row.why)
                for row in session.scalars(chosen)
            ]

    def all_running(self) -> dict[str, Rollout]:
        """Every trial, by persona, in one look."""
        newest = select(func.max(RolloutRow.id)).group_by(RolloutRow.persona_id)
        running = select(RolloutRow).where(RolloutRow.id.in_(newest), RolloutRow.state == "running")
        with self._database.read() as session:
            return {row.persona_id: _rollout(row) for row in session.scalars(running)}

    def bar(self, persona_id: str, version: str, *, who: str, why: str) -> None:
        """Marks a version that must never be live or on trial again; the first reason stays."""
        with self._database.write(lock=lock_of(persona_id)) as session:
            if session.get(BarredRow, version) is None:
                session.add(
                    BarredRow(adapter_version=version, persona_id=persona_id, at=self._clock(), who=who, why=why)
                )

    def barred(self, persona_id: str) -> dict[str, str]:
        """A persona's versions that must not be live again, and why."""
        with self._database.read() as session:
            rows = session.scalars(select(BarredRow).where(BarredRow.persona_id == persona_id))
            return {row.adapter_version: row.why for row in rows}

    def why_barred(self, version: str) -> str | None:
        """Why a version must not be live again; None when it may."""
        with self._database.read() as session:
            row = session.get(BarredRow, version)
            return row.why if row else None


def is_chosen(persona_id: str, candidate: str, session: str, share: int) -> bool:
    """Whether a session is one of the `share` percent that a candidate answers.

    A session that was chosen stays chosen when the share grows; another candidate is given other sessions.
    """
    digest = hashlib.sha256(f"{persona_id}\0{candidate}\0{session}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share / 100


class OnTrial(ConfigError):
    """Another candidate answers a share of the sessions: what is live must not change under it."""


def refuse_under_trial(session: Session, persona_id: str, version: str) -> None:
    """Within a transaction: raises OnTrial when another version than this one is on trial."""
    running = running_trial(session, persona_id)
    if running is not None and running.candidate != version:
        raise OnTrial(on_trial(_rollout(running)), where=f"persona {persona_id}", fix=_how_to_end(running.candidate))


def on_trial(rollout: Rollout) -> str:
    """That a candidate is on trial, in words for people."""
    return f"{rollout.candidate} is on trial with {rollout.share} % of the sessions"


def _how_to_end(candidate: str) -> str:
    return f"End that first: nabi promote {candidate}, or nabi rollback {candidate.rpartition('--')[0]}"


def refuse_barred(session: Session, version: str) -> None:
    """Within a transaction: raises ConfigError when a version must not be live again."""
    barred = session.get(BarredRow, version)
    if barred is not None:
        raise ConfigError(
            f"{version} must not be live again: {barred.why}",
            where=f"persona {barred.persona_id}",
            fix="Train another version.",
        )


def _rollout(row: RolloutRow) -> Rollout:
    plan = RolloutPlan.model_validate_json(row.plan) if row.plan else None
    return Rollout(row.persona_id, row.candidate, row.digest, row.share, row.at, plan)
