"""What is to be done about a run: each with the sentence that a person reads on its page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

AWAITING_RESOURCES = "AwaitingResources"
AWAITING_PERSONA = "AwaitingPersona"
AWAITING_EARLIER = "AwaitingEarlierWindow"
HOLDS = frozenset({AWAITING_RESOURCES, AWAITING_PERSONA, AWAITING_EARLIER})
"""The names of the states of runs that wait for something, without a slot and without a process."""

AWAITING_VOTES = "AwaitingVotes"
"""The name of the state of a run that is suspended until people have voted."""

QUEUE_FULL = "QueueFull"
SUPERSEDED = "Superseded"
GAVE_UP = "GaveUp"
RESUMING = "ResumingAfterCrash"
STOPPED = "ResumingAfterStop"


@dataclass(frozen=True)
class Hold:
    """The run waits; `until` is only how long a worker leaves it alone should nobody release it."""

    run_id: str
    name: str
    until: datetime
    sentence: str


@dataclass(frozen=True)
class Release:
    """A run that waited may go."""

    run_id: str
    at: datetime
    sentence: str


@dataclass(frozen=True)
class Cancel:
    """The run ends without having begun; `name` is its state's."""

    run_id: str
    name: str
    sentence: str


@dataclass(frozen=True)
class DeclareCrashed:
    """Its process is gone and nobody said so."""

    run_id: str
    sentence: str


@dataclass(frozen=True)
class Revive:
    """It was reported dead, late, for a process that is long replaced; the one that works for it lives."""

    run_id: str
    sentence: str


@dataclass(frozen=True)
class Resume:
    """It was killed at a step and goes on under the same id; finished steps come from their results."""

    run_id: str
    crashed_at: datetime
    step: str
    sentence: str


@dataclass(frozen=True)
class HandBack:
    """A planned stop broke it off: it goes on under the same id, and no crash counts."""

    run_id: str
    sentence: str


@dataclass(frozen=True)
class GiveUp:
    """It was killed at the same step too often."""

    run_id: str
    crashed_at: datetime
    step: str
    personas: frozenset[str]
    as_of: datetime
    sentence: str
    replay: bool = False


Action = Hold | Release | Cancel | DeclareCrashed | Revive | Resume | HandBack | GiveUp
