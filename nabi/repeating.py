"""Work that a thread does again and again for as long as its process lives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from nabi.errors import NabiError

logger = logging.getLogger(__name__)


class Repeating:
    """A thread that does its work now and then, and goes on whatever one turn meets.

    This is the one place where an error that nobody foresaw ends nothing: a watch, a queue or a deletion that stops
    for good because of one bad moment does more harm than the moment. It is told of when it begins and when it is
    over, and `trouble` says so for as long as it lasts.

    Args:
        name: of the work, for people and for the thread.
        work: one turn. What it raises is this turn's trouble; the next turn comes all the same.
        every_s: between the end of a turn and the next.
    """

    def __init__(self, name: str, work: Callable[[], object], *, every_s: float) -> None:
        self.name = name
        self._work = work
        self._every_s = every_s
        self._trouble: Exception | None = None
        self._ends = False
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"nabi-{name}", daemon=True)

    @property
    def trouble(self) -> Exception | None:
        """What the last turn failed with; None when it did not."""
        return self._trouble

    def start(self) -> None:
        """The first turn comes after `every_s`, or when somebody wakes it."""
        self._thread.start()

    def wake(self) -> None:
        """The next turn comes at once, or right after the one that is under way."""
        self._due.set()

    def stop(self, within_s: float | None = None) -> None:
        """Waits for the turn that is under way; no other comes.

        Args:
            within_s: a turn that takes longer is left to end with the process; None waits for as long as it takes.
        """
        self._ends = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        while True:
            self._due.wait(self._every_s)
            self._due.clear()
            if self._ends:
                return
            self.turn()

    def turn(self) -> None:
        """One turn now, in the caller's thread."""
        try:
            self._work()
        except Exception as error:
            if repr(error) != repr(self._trouble):
                # What we foresaw says what to do in a line; the trace of anything else is for who mends it.
                logger.error("%s: %s", self.name, error, exc_info=not isinstance(error, NabiError))
            self._trouble = error
            return
        if self._trouble is not None:
            logger.info("%s works again", self.name)
        self._trouble = None
