"""People: what the gate would deploy waits for their votes, where a persona asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.runtime import deployment

from nabi.steps.window import Judged
from nabi.wiring import get_platform
from tasks.progress import enter
from tasks.resilience import step
from tasks.turn import sleep_until_voted


@step("ask people", of="{judged.candidate.window.persona_id}", seconds=600, kept=False)
def ask_people(judged: Judged) -> Judged:
    """Asked anew each time the run wakes: votes come meanwhile."""
    from nabi.steps import people as core

    asked = core.ask_people(get_platform(), judged, can_wait=bool(deployment.id))
    if asked.awaits:
        enter(asked.candidate.window, "people")
    return asked


def wait_for_votes(voting: Sequence[Judged]) -> None:
    """Ends this process while votes are missing; the run is suspended, without a slot, until they are there."""
    if voting:
        sleep_until_voted("; ".join(str(judged.awaits) for judged in voting))
