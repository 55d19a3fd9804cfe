"""Waiting for what is busy or away: growing pauses with jitter, a word on what is waited for, an end to patience.

A step grants patience with `patient`; the doors to other servers call through `persist`. Without a grant nothing
waits, so that a command at the terminal answers at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from nabi.error_kinds import is_worth_another_try
from nabi.errors import GaveUpWaiting

T = TypeVar("T")

FIRST_SECONDS = 1.0
CAP_SECONDS = 30.0
"""The longest pause, so that a run goes on half a minute after its server is back, however long that was away."""
JITTER = 0.5
"""Share by which a pause varies up and down: runs that wait for one server must not come back as one."""


def pauses() -> Iterator[float]:
    """1, 2, 4 … 30, 30 … seconds without their jitter, for ever."""
    pause = FIRST_SECONDS
    while True:
        yield pause
        pause = min(CAP_SECONDS, pause * 2)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a step waits for, since when, and until when it will."""

    reason: str
    since: datetime
    until: datetime

    def __str__(self) -> str:
        return f"waiting since {self.since:%H:%M:%S} UTC, until {self.until:%H:%M:%S} at most: {self.reason}"


class Patience:
    """What a step may spend on one outage. An outage begins with the first failure and ends with the first success.

    Args:
        seconds: the longest outage that is waited out.
        tell: called with each wait before it begins, and with None when it is over. May not raise.
    """

    def __init__(self, seconds: float, tell: Callable[[Wait | None], None]) -> None:
        self._seconds = seconds
        self._tell = tell
        self._since: datetime | None = None
        self._pauses = pauses()

    def wait_after(self, error: Exception) -> None:
        """Pauses after a failed try.

        Raises:
            GaveUpWaiting: the outage has lasted too long.
        """
        now = datetime.now(UTC)
        if self._since is None:
            self._since, self._pauses = now, pauses()
        until = self._since + timedelta(seconds=self._seconds)
        left = (until - now).total_seconds()
        if left <= 0:
            raise GaveUpWaiting(f"waited since {self._since:%H:%M:%S} UTC in vain: {error}") from error
        self._tell(Wait(str(error), self._since, until))
        time.sleep(min(left, next(self._pauses) * random.uniform(1 - JITTER, 1 + JITTER)))

    def is_over(self) -> None:
        """Notes that what was waited for is back."""
        if self._since is not None:
            self._since = None
            self._tell(None)


_granted: ContextVar[Patience | None] = ContextVar("granted patience", default=None)


@contextmanager
def patient(patience: Patience) -> Iterator[None]:
    """Grants patience to every `persist` inside the block."""
    token = _granted.set(patience)
    try:
        yield
    finally:
        _granted.reset(token)


def persist(call: Callable[[], T]) -> T:
    """The call's result, tried again while what it needs is busy or away and patience lasts.

    The call must be safe to repeat: its first try may have succeeded without an answer.
    """
    patience = _granted.get()
    if patience is None:
        return call()
    while True:
        try:
            result = call()
        except Exception as error:
            if not is_worth_another_try(error):
                raise
            patience.wait_after(error)
        else:
            patience.is_over()
            return result
