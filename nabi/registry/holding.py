"""What this process works under: its leases, kept alive by a thread, and its end when somebody else took one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable

from nabi.errors import LeaseLost, TransientError
from nabi.registry.leases import BEAT, Lease, Leases

logger = logging.getLogger(__name__)


def end_process(error: LeaseLost) -> None:
    """Ends this process at once; with success, for its run goes on elsewhere and must not be told to have crashed."""
    logger.error("this process ends: %s", error)
    logging.shutdown()
    os._exit(0)


class Holding:
    """The leases of this process.

    Args:
        on_loss: called when another process took one of them; must end whatever writes.
        beat_seconds: between two signs of life.
    """

    def __init__(
        self,
        leases: Leases,
        on_loss: Callable[[LeaseLost], None] = end_process,
        *,
        beat_seconds: float = BEAT.total_seconds(),
    ) -> None:
        self._leases = leases
        self._on_loss = on_loss
        self._beat_seconds = beat_seconds
        self._mine: dict[str, Lease] = {}
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, names: Iterable[str], holder: str) -> tuple[Lease, ...]:
        """Takes all of the leases or none; those of others that stand in the way, empty when all are ours now."""
        acquired = self._leases.acquire(names, holder)
        with self._changing:
            self._mine |= {lease.name: lease for lease in acquired.mine}
            if self._mine and self._thread is None:
                self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
                self._thread.start()
        return acquired.others

    def lease(self, name: str) -> Lease | None:
        """The lease of that name that this process took; None when it never did."""
        return self._mine.get(name)

    def at(self, step: str) -> None:
        """Notes which step begins, and makes sure that the work is still ours."""
        self._beat(step)

    def give_back(self, names: Iterable[str]) -> None:
        """Gives leases back, as far as the database can be reached: with the process they end anyway."""
        with self._changing:
            given = [self._mine.pop(name) for name in names if name in self._mine]
            try:
                self._leases.release(given)
            except TransientError as error:
                logger.warning("leases are not given back: %s", error)

    def _keep_beating(self) -> None:
        while True:
            time.sleep(self._beat_seconds)
            try:
                self._beat(None)
            except TransientError as error:
                # While the database is away nobody can take anything over there either.
                logger.warning("no heartbeat: %s", error)

    def _beat(self, step: str | None) -> None:
        with self._changing:
            try:
                if self._mine:
                    self._leases.beat(self._mine.values(), step)
            except LeaseLost as error:
                self._on_loss(error)
