"""How a run ends, in words that the pages show and in records that another flow can add up."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from nabi.steps.window import Ending
from tasks.pages import wait_for_the_server
from tasks.resilience import patience


def end_run(endings: list[Ending]) -> State[list[Ending]]:
    """The closing state, once the server is there to hear it: a run that ends while it is away waits."""
    with patience("end"):
        wait_for_the_server()
    return closing_state(endings)


def closing_state(endings: list[Ending]) -> State[list[Ending]]:
    """The run's end in the Prefect UI: one plain sentence a persona."""
    if not endings:
        return Completed(message="every window was decided before", data=endings)
    message = "; ".join(f"{ending.window.persona_id}: {ending.sentence}" for ending in endings)
    if any(ending.state == "failed" for ending in endings):
        # A failed state must hold an exception, or a worker that asks for its result stumbles.
        return Failed(message=message, data=SomeFailed(message, endings))
    return Completed(message=message, data=endings)


class SomeFailed(Exception):
    """One persona at least failed; `endings` says how each of them ended."""

    def __init__(self, message: str, endings: list[Ending]) -> None:
        super().__init__(message, endings)
        self.endings = endings


def endings_of(state: State[Any]) -> list[Ending]:
    """How each persona of a run ended, whether the run failed or not; none when it broke down altogether."""
    result: object = state.result(raise_on_failure=False)
    if isinstance(result, SomeFailed):
        return result.endings
    return result if isinstance(result, list) else []
