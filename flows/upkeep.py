"""What is to be done besides learning: requests to forget are carried out."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.forget import finish_deletions


@flow(name="upkeep")
def upkeep() -> State[int]:
    """Finishes every open request to delete; a request that is new or was interrupted waits no longer than this."""
    num = finish_deletions()
    return Completed(message=f"{num} requests to forget were finished", data=num)
