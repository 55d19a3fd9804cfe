"""Looks at what answers, again and again, and takes back what got worse."""

from __future__ import annotations

import logging
import threading

from nabi.errors import NabiError
from nabi.server.hosting import Hosting
from nabi.steps.watch import watch

logger = logging.getLogger(__name__)


class Watch:
    """A thread that asks `nabi.steps.watch` about every persona.

    Several servers of one installation may watch: what one took back, the other finds taken back.
    """

    def __init__(self, hosting: Hosting, *, every_s: float) -> None:
        self._hosting = hosting
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nabi-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            for persona_id in self._hosting.table.routes:
                self._look_at(persona_id)

    def _look_at(self, persona_id: str) -> None:
        try:
            done = watch(self._hosting.platform, persona_id)
        except NabiError as error:
            logger.warning("%s cannot be watched now: %s", persona_id, error)
            return
        except Exception:
            # This thread must outlive whatever one look meets: without it nothing is taken back any more.
            logger.exception("%s cannot be watched now", persona_id)
            return
        if done is not None:
            logger.warning("%s", done)
            self._hosting.table.refresh()
