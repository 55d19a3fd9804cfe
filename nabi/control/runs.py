"""A run as the rules see it, wherever it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

State = Literal["scheduled", "pending", "running", "crashed", "cancelling", "paused", "cancelled"]
"""The kinds of states of a run that has not ended (a crashed one goes on), and of one that a person cancelled."""

Kind = Literal["learn", "backfill", "upkeep"]
"""`learn` trains and is heavy; `backfill` only queues windows; `upkeep` must never be kept waiting."""

HIGH, NORMAL, LOW = "high", "normal", "low"
QUEUES = {HIGH: 1, NORMAL: 2, LOW: 3}
"""Queue → priority, 1 goes first. `high`: a person waits; `normal`: the schedule; `low`: past windows."""


@dataclass(frozen=True)
class Run:
    """A run that has not ended, or that a person cancelled.

    Args:
        due: when its start was first asked for; never changes however often it is put back.
        next_try: before this moment no worker takes it; None unless it is scheduled.
        since: when it came into its state.
        by_schedule: made by a schedule, not asked for by anybody.
        deployed: a worker can start it; False for a run in the process of a command.
        replaceable: it serves whatever is there when it starts, so that a later one does the same.
        personas: whom it is about, all of them named.
        whom: the same for people, e.g. "every persona".
        replay: it plays the past again beside what really happened.
        alive: whether its process runs; None when nobody can tell.
        step: what its process did last; empty before the first step.
        crashes: the steps at which it was killed so far.
        asked_people: it has judged a candidate, and people are or were asked about it.
        voted: enough of them have voted since it was suspended.
        stopped: a planned stop broke it off, and it was not put back since.
        handed_back: it was put back after such a stop.
        sentence: what its state says to people.
        gpu_bytes: free GPU memory that its training needs; None where it trains without a GPU.
    """

    id: str
    kind: Kind
    state: State
    state_name: str
    since: datetime
    due: datetime
    created: datetime
    next_try: datetime | None = None
    queue: str = "normal"
    by_schedule: bool = False
    deployed: bool = True
    replaceable: bool = False
    backfilled: bool = False
    personas: frozenset[str] = frozenset()
    whom: str = "every persona"
    as_of: datetime | None = None
    replay: bool = False
    alive: bool | None = None
    step: str = ""
    crashes: tuple[str, ...] = ()
    stopped: bool = False
    handed_back: bool = False
    gpu_bytes: int | None = None
    asked_people: bool = False
    voted: bool = False
    sentence: str = ""

    @property
    def until(self) -> datetime:
        """The end of the window that it serves."""
        return self.as_of or self.due

    @property
    def title(self) -> str:
        """For people; the same words as in the list of runs."""
        if self.kind != "learn":
            return f"{self.kind} of {self.due:{MOMENT}}"
        return f"{self.whom} until {self.until:{MOMENT}}{' (replay)' if self.replay else ''}"

    @property
    def started(self) -> bool:
        """Whether steps of it may be done already: killed, stopped or suspended for people, it goes on."""
        return bool(self.crashes) or self.stopped or self.handed_back or self.asked_people

    @property
    def order(self) -> tuple[bool, int, datetime, datetime, str]:
        """Who goes first: what has begun, then by queue, then by when it was due."""
        return not self.started, QUEUES.get(self.queue, QUEUES["normal"]), self.due, self.created, self.id

    @property
    def is_active(self) -> bool:
        """A process works for it, is about to, or died and will be replaced."""
        return self.state in ("pending", "running", "crashed", "cancelling")


MOMENT = "%Y-%m-%d %H:%M %Z"


@dataclass(frozen=True)
class Working:
    """A process that works on a persona at this moment, by its lease. `run_id` is the holder."""

    persona: str
    run_id: str
    step: str
    since: datetime
    where: str


@dataclass(frozen=True)
class Situation:
    """What the rules go by besides the runs.

    Args:
        saturated: which figure of the machine is above its limit; None when it is free.
        watched: whether the machine was watched for long enough to call it free.
        gpu_free_bytes: the least of late; None where there is no GPU.
        max_waiting: requirement A6.
    """

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    saturated: str | None = None
    watched: bool = True
    gpu_free_bytes: int | None = None
    working: tuple[Working, ...] = ()
    max_waiting: int = 50
