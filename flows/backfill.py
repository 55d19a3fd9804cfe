"""Past windows, queued oldest first; each is a run of its own that sees only what existed then."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.queueing import queue_windows
from nabi.control.backfill import window_ends
from nabi.personas.model import Preset
from nabi.wiring import get_platform
from tasks.turn import come_again, show_life


@flow(name="backfill")
def backfill(
    start: datetime,
    end: datetime,
    every: timedelta = timedelta(hours=6),
    persona_ids: list[str] | None = None,
    preset: Preset | None = None,
    *,
    replay: bool = False,
) -> State[str]:
    """Queues every window that ends in (start, end]; windows that were decided or queued before stay as they are.

    Args:
        persona_ids: None for every declared persona.
        preset: replaces the personas' own preset in these windows.
        replay: compares each window with what stood at that time in the replayed past; nothing of it goes live.
    """
    show_life()
    personas = persona_ids or get_platform().persona_ids()
    queued = queue_windows(personas, window_ends(start, end, every), preset, replay=replay)
    if queued.left:
        come_again(queued.sentence)
    return Completed(message=queued.sentence, data=queued.sentence)
