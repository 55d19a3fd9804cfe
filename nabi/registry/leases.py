"""Leases: one run a persona at a time, across processes, hosts and installations that share one database.

A lease belongs to a holder (a run) and to the process that works for it. It is free again at once when that process
is provably dead, and after a minute without a heartbeat when nobody can tell. Whoever takes it over raises its token;
the old process, should it only have slept, finds that out before it writes (`check`) and stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from nabi.database.engine import Database
from nabi.database.tables import LeaseRow
from nabi.errors import LeaseLost, PersonaBusy
from nabi.resources.processes import ProcessId, is_alive, this_process

BEAT = timedelta(seconds=10)
"""How often a working process shows that it lives."""

EXPIRY = timedelta(seconds=60)
"""How long a process that cannot be looked at may be silent: six beats, so that a busy database takes nothing away."""


KEPT = timedelta(days=1)
"""How long the place where a run's process was is remembered."""

_PERSONA, _RUN, _CONTROL = "persona ", "run ", "control "


def control_lease(server: str) -> str:
    """The name of the lease of the control loop that acts on a server; several servers may share a database."""
    return _CONTROL + server


def persona_lease(persona_id: str) -> str:
    """The name of the lease under which a persona is taught."""
    return _PERSONA + persona_id


def run_lease(run_id: str) -> str:
    """The name of the lease that tells where a run's process is."""
    return _RUN + run_id


@dataclass(frozen=True)
class Lease:
    """A lease as it stood when it was read. `doing` is the step that its process is at."""

    name: str
    holder: str
    token: int
    process: ProcessId
    doing: str
    acquired_at: datetime
    beat_at: datetime


def persona_of(lease: Lease) -> str | None:
    """The persona whose lease it is; None for another one."""
    return lease.name.removeprefix(_PERSONA) if lease.name.startswith(_PERSONA) else None


@dataclass(frozen=True)
class Acquisition:
    """All of what was asked for (`mine`), or what stands in the way (`others`)."""

    mine: tuple[Lease, ...] = ()
    others: tuple[Lease, ...] = ()


class Leases:
    """Takes, keeps and gives back leases.

    Args:
        process: for whom; the process that asks.
        alive: whether another process runs; None when that cannot be told.
    """

    def __init__(
        self,
        database: Database,
        *,
        process: ProcessId | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        alive: Callable[[ProcessId], bool | None] = is_alive,
    ) -> None:
        self._database = database
        self._process = process or this_process()
        self._clock = clock
        self._alive = alive

    def acquire(self, names: Iterable[str], holder: str) -> Acquisition:
        """Takes all of the leases or none.

        A lease of the same holder is taken over at once: that is the same run, started again.
        """
        wanted = sorted(set(names))
        with self._database.write(lock="leases") as session:
            rows = {name: session.get(LeaseRow, name) for name in wanted}
            held = [_lease(row) for row in rows.values() if row and row.holder not in (None, holder)]
            if others := [lease for lease in held if not self.is_over(lease)]:
                return Acquisition(others=tuple(others))
            mine = [self._take(session, row or LeaseRow(name=name, token=0), holder) for name, row in rows.items()]
        return Acquisition(mine=tuple(mine))

    def _take(self, session: Session, row: LeaseRow, holder: str) -> Lease:
        if row.holder != holder or _process(row) != self._process:
            row.holder, row.token, row.doing = holder, row.token + 1, ""
            row.host, row.pid, row.born = self._process.host, self._process.pid, self._process.born
            row.acquired_at = row.beat_at = self._clock()
            session.add(row)
        return _lease(row)

    def is_over(self, lease: Lease) -> bool:
        """Whether nobody works under a lease any more."""
        alive = self._alive(lease.process)
        if alive is not None:
            return not alive
        # Either way: a clock that was set back leaves beats in the future behind.
        return abs(self._clock() - lease.beat_at) > EXPIRY

    def beat(self, mine: Iterable[Lease], doing: str | None = None) -> None:
        """Shows that the process lives, and what it is doing.

        Raises:
            LeaseLost: somebody else has one of them; this process must not write any more.
        """
        with self._database.write(lock="leases") as session:
            for lease in mine:
                row = _checked(session, lease)
                row.beat_at = self._clock()
                if doing is not None:
                    row.doing = doing

    def release(self, mine: Iterable[Lease]) -> None:
        """Gives leases back; those that somebody else took meanwhile stay theirs."""
        with self._database.write(lock="leases") as session:
            for lease in mine:
                row = session.get(LeaseRow, lease.name)
                if row is not None and row.token == lease.token:
                    row.holder = None

    def clear(self, holder: str) -> None:
        """Frees what a holder's dead process left behind."""
        with self._database.write(lock="leases") as session:
            for row in session.scalars(select(LeaseRow).where(LeaseRow.holder == holder)):
                row.holder = None

    def sweep(self) -> None:
        """Forgets runs whose processes ended long ago; a run keeps its lease to the last breath of its process."""
        with self._database.write(lock="leases") as session:
            old = LeaseRow.beat_at < self._clock() - KEPT
            for row in session.scalars(select(LeaseRow).where(LeaseRow.name.startswith(_RUN), old)):
                if self.is_over(_lease(row)):
                    session.delete(row)

    def ensure_free(self, persona_ids: Iterable[str]) -> None:
        """A look ahead, for whoever would rather not begin in vain; only taking the leases is sure.

        Raises:
            PersonaBusy: somebody works on one of the personas.
        """
        wanted = {persona_lease(persona_id) for persona_id in persona_ids}
        for lease in self.held():
            if lease.name in wanted and not self.is_over(lease):
                raise persona_busy(lease)

    def held(self) -> list[Lease]:
        """Every lease that is not free, over or not."""
        with self._database.read() as session:
            rows = session.scalars(select(LeaseRow).where(LeaseRow.holder.is_not(None)).order_by(LeaseRow.name))
            return [_lease(row) for row in rows]


def check(session: Session, lease: Lease | None) -> None:
    """The fence of a write: in its own transaction, so that nothing can come between.

    Args:
        lease: None where no lease was taken, as by a person's hand.

    Raises:
        LeaseLost: somebody else works under this lease now.
    """
    if lease is not None:
        _checked(session, lease)


def _checked(session: Session, lease: Lease) -> LeaseRow:
    # Locked where the database locks rows: a take-over at this moment waits until what is written here is written.
    row = session.get(LeaseRow, lease.name, with_for_update=True)
    if row is None or row.token != lease.token or row.holder != lease.holder:
        taker = f"{row.holder} on {row.host}" if row is not None and row.holder else "nobody"
        raise LeaseLost(
            f"the work on {lease.name} was taken over by {taker} while this process was silent.",
            fix="Nothing is to be done: what this process began is done there.",
        )
    return row


def persona_busy(lease: Lease) -> PersonaBusy:
    """What to tell somebody who wants to work on a persona that another run works on."""
    step = f", at {lease.doing}" if lease.doing else ""
    since = f"{lease.acquired_at:%Y-%m-%d %H:%M %Z}"
    return PersonaBusy(
        f"{persona_of(lease)} is being taught by another run (on {lease.process.host} since {since}{step}).",
        fix="One run a persona at a time: start this one again when that has ended.",
    )


def _process(row: LeaseRow) -> ProcessId:
    return ProcessId(host=row.host, pid=row.pid, born=row.born)


def _lease(row: LeaseRow) -> Lease:
    return Lease(
        name=row.name,
        holder=row.holder or "",
        token=row.token,
        process=_process(row),
        doing=row.doing,
        acquired_at=row.acquired_at,
        beat_at=row.beat_at,
    )
