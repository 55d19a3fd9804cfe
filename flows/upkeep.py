"""What is to be done besides learning: requests to forget are carried out, people are told, old files go."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.clean_up import clean_up
from tasks.forget import finish_deletions
from tasks.notify import deliver_notices
from tasks.turn import show_life


@flow(name="upkeep")
def upkeep() -> State[int]:
    """Finishes every open request to delete, which waits no longer than this; delivers due notices; cleans up."""
    show_life()
    num = finish_deletions()
    told = deliver_notices()
    cleaned = clean_up()
    message = f"{num} requests to forget were finished; {told.num_delivered} notices delivered"
    if told.num_missed:
        message += f", the receiver was away ({told.num_given_up} given up)"
    message += f"; {cleaned.sentence}"
    return Completed(message=message, data=num)
