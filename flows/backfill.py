"""The same loop over past windows, oldest first, each seeing only what existed then."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect import flow
from prefect.client.schemas.objects import State

from flows.continuous_learning import continuous_learning
from flows.endings import end_run, endings_of
from nabi.errors import ConfigError
from nabi.steps.window import Ending


@flow(name="backfill")
def backfill(
    persona_ids: list[str], start: datetime, end: datetime, every: timedelta = timedelta(hours=6)
) -> State[list[Ending]]:
    """Runs every window that ends in (start, end]; windows that were decided before stay as they are."""
    endings: list[Ending] = []
    for as_of in window_ends(start, end, every):
        # A failed window is recorded in its own run and does not keep the later ones from theirs.
        state = continuous_learning(persona_ids, as_of, return_state=True)
        endings += endings_of(state)
    return end_run(endings)


def window_ends(start: datetime, end: datetime, every: timedelta) -> list[datetime]:
    """The ends of the windows that tile (start, end].

    Raises:
        ConfigError: the span holds no whole window.
    """
    if every <= timedelta(0):
        raise ConfigError(f"a window of {every} has no length", where="--every", fix="Write a span such as 6h.")
    num = (end - start) // every
    if num < 1:
        raise ConfigError(
            f"no whole window of {every} fits between {start} and {end}",
            where="--from/--to",
            fix="Widen the span or shorten --every.",
        )
    return [start + every * (i + 1) for i in range(num)]
