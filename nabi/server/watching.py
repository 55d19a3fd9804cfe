"""Looks at what answers, and takes back what got worse."""

from __future__ import annotations

import logging

from nabi.server.hosting import Hosting
from nabi.steps.watch import watch

logger = logging.getLogger(__name__)


def watch_all(hosting: Hosting) -> None:
    """One look at every persona. One that cannot be looked at keeps none of the others from it.

    Several servers of one installation may watch: what one took back, the other finds taken back.

    Raises:
        ExceptionGroup: some could not be looked at.
    """
    missed: dict[str, Exception] = {}
    for persona_id in hosting.table.routes:
        try:
            done = watch(hosting.platform, persona_id)
        except Exception as error:
            missed[persona_id] = error
            continue
        if done is not None:
            logger.warning("%s", done)
            hosting.table.refresh()
    if missed:
        raise ExceptionGroup(f"{', '.join(missed)} cannot be watched", list(missed.values()))
