"""What a person must hear of: noted with the event itself, kept until it was delivered or given up.

A notice is made of ids, versions, counts and fixed phrases only. What a conversation, an exception or a person said
never goes into one, because it leaves the machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from nabi.database.engine import Database
from nabi.database.inserts import insert_new
from nabi.database.tables import LedgerRow, NoticeRow, WindowRow
from nabi.error_kinds import TREATMENT, Kind

Event = Literal[
    "failed",
    "rolled_back",
    "trial_stopped",
    "skipped_for_days",
    "nothing_deployed",
    "gave_up",
    "deletion_waits",
    "to_retire",
]
State = Literal["waiting", "delivered", "given up"]

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=7)
_CLAIM = timedelta(minutes=2)  # longer than a delivery takes; another process may try again afterwards
_MAX_CLAIMED = 20


@dataclass(frozen=True)
class Notice:
    """One notice. `id` is the same for the same event, so that a receiver can tell a repetition.

    `persona_id` is None where the whole installation is concerned.
    """

    id: str
    event: Event
    persona_id: str | None
    at: datetime
    sentence: str
    facts: Mapping[str, Any]
    num_tries: int
    last_error: str | None
    delivered_at: datetime | None
    given_up_at: datetime | None

    @property
    def state(self) -> State:
        if self.delivered_at:
            return "delivered"
        return "given up" if self.given_up_at else "waiting"


class Notices:
    """Notes, hands out for delivery, and lists. May be shared by processes."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    def note(
        self, event: Event, persona_id: str | None, sentence: str, facts: Mapping[str, Any], *, occasion: str
    ) -> bool:
        """Notes an event once an occasion; whether it was new.

        Args:
            occasion: tells one event from the next of the same kind, e.g. a run's id.
        """
        with self._database.write() as session:
            return _note(session, event, persona_id, sentence, facts, occasion=occasion, at=self._clock())

    def claim(self) -> list[Notice]:
        """Notices whose turn it is, oldest first; nobody else gets them for two minutes."""
        now = self._clock()
        due = _undelivered().where(NoticeRow.next_try_at <= now).order_by(NoticeRow.at).limit(_MAX_CLAIMED)
        with self._database.write(lock="notices") as session:
            rows = session.scalars(due).all()
            for row in rows:
                row.next_try_at = now + _CLAIM
            return [_notice(row) for row in rows]

    def delivered(self, notice_id: str) -> None:
        self._change(notice_id, delivered_at=self._clock(), last_error=None)

    def missed(self, notice: Notice, error: str) -> bool:
        """Notes a vain try and when the next one is; whether it was the last one because a week has passed."""
        now = self._clock()
        given_up = now - notice.at > GIVEN_UP_AFTER
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(notice.num_tries, 10)) * random.uniform(0.5, 1.5)
        self._change(
            notice.id,
            num_tries=notice.num_tries + 1,
            last_error=error,
            next_try_at=now + pause,
            given_up_at=now if given_up else None,
        )
        return given_up

    def try_again(self) -> int:
        """Puts what was given up back in the queue, and what waits in front; how many those are."""
        again = update(NoticeRow).where(NoticeRow.delivered_at.is_(None))
        with self._database.write() as session:
            result = session.execute(again.values(given_up_at=None, next_try_at=self._clock()))
            return cast(int, result.rowcount)  # type: ignore[attr-defined]

    def latest(self, num: int = 50) -> list[Notice]:
        """The newest `num`, newest first."""
        with self._database.read() as session:
            rows = session.scalars(select(NoticeRow).order_by(NoticeRow.at.desc(), NoticeRow.id).limit(num))
            return [_notice(row) for row in rows]

    def _change(self, notice_id: str, **values: Any) -> None:
        with self._database.write() as session:
            session.execute(update(NoticeRow).where(NoticeRow.id == notice_id).values(**values))


def note_failure(session: Session, window: WindowRow) -> None:
    """A window that failed, or whose run was killed too often; in the transaction that says so in the journal."""
    what = "replay of" if window.line == "replay" else "run for"
    until = f"{window.persona_id}: the {what} the window until {window.as_of:%Y-%m-%d %H:%M} UTC"
    facts: dict[str, Any] = {"window": window.as_of.isoformat()}
    event: Event = "failed"
    if step := window.figures.get("gave_up_at"):
        event = "gave_up"
        sentence = f"{until} was killed too often at the same step ({step}) and is not tried again by itself."
        facts |= {"run": window.figures.get("run"), "step": step}
    else:
        kind = Kind(window.figures.get("kind", Kind.OUR_BUG))
        sentence = f"{until} failed ({kind}). {TREATMENT[kind].mend}"
        facts |= {"kind": kind.value}
    _note(
        session,
        event,
        window.persona_id,
        f"{sentence} The live adapter is as it was. More: nabi status",
        facts,
        occasion=f"{window.as_of:%Y%m%dT%H%M}:{window.started_at:%Y%m%dT%H%M%S.%f}",
        at=cast(datetime, window.finished_at),
    )


def note_rollback(session: Session, change: LedgerRow) -> None:
    """A rollback; in the transaction that makes it."""
    session.flush()  # gives the entry its number
    _note(
        session,
        "rolled_back",
        change.persona_id,
        f"{change.persona_id}: rolled back from {change.previous} to {change.champion}."
        f" Why: nabi adapters history {change.persona_id}",
        {"from": change.previous, "to": change.champion},
        occasion=str(change.id),
        at=change.at,
    )


def note_retirement(session: Session, persona_id: str, adapters: Sequence[str], erasure_id: int, at: datetime) -> None:
    """A persona's adapters that learned from what a deletion takes; in the transaction that marks them."""
    _note(
        session,
        "to_retire",
        persona_id,
        f"{persona_id}: {', '.join(adapters)} learned from words that request {erasure_id} deleted."
        f" To be trained anew: nabi run --persona {persona_id}",
        {"request": erasure_id, "adapters": list(adapters)},
        occasion=str(erasure_id),
        at=at,
    )


def _note(
    session: Session,
    event: Event,
    persona_id: str | None,
    sentence: str,
    facts: Mapping[str, Any],
    *,
    occasion: str,
    at: datetime,
) -> bool:
    row = {
        "id": f"{event}:{persona_id or 'all'}:{occasion}",
        "event": event,
        "persona_id": persona_id,
        "at": at,
        "sentence": sentence,
        "facts": dict(facts),
        "num_tries": 0,
        "next_try_at": at,
    }
    return insert_new(session, NoticeRow, [row]) > 0


def _undelivered() -> Select[tuple[NoticeRow]]:
    return select(NoticeRow).where(NoticeRow.delivered_at.is_(None), NoticeRow.given_up_at.is_(None))


def _notice(row: NoticeRow) -> Notice:
    return Notice(
        id=row.id,
        event=cast(Event, row.event),
        persona_id=row.persona_id,
        at=row.at,
        sentence=row.sentence,
        facts=row.facts,
        num_tries=row.num_tries,
        last_error=row.last_error,
        delivered_at=row.delivered_at,
        given_up_at=row.given_up_at,
    )
