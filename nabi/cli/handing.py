"""Handing runs to the platform that `nabi up` runs, and watching them to their end."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nabi.cli.output import console
from nabi.errors import ConfigError
from nabi.settings import Settings

if TYPE_CHECKING:
    from uuid import UUID


_SECONDS_BETWEEN_LOOKS = 2.0


def is_up(settings: Settings) -> bool:
    """Whether the platform runs on this installation."""
    from nabi.integrations.running import running_servers

    return "prefect" in running_servers(settings)


def ensure_only_up(queue: str | None, wait: bool) -> None:
    """Refuses options that mean nothing without the platform.

    Raises:
        ConfigError: one of them was given.
    """
    if queue is not None or not wait:
        raise ConfigError(
            "the platform is not up, so there is no queue and nobody to go on with it.",
            where="--queue" if queue is not None else "--no-wait",
            fix="Start it with `nabi up`, or leave the option out to run it here.",
        )


def hand_over(
    settings: Settings, persona_ids: Sequence[str], as_of: datetime, preset: Any, *, queue: str, wait: bool
) -> bool:
    """Queues one run; whether it ended well, or is queued when nobody waits for it.

    Raises:
        RunQueueFull: as many runs wait as may wait.
        ConfigError: there is no such queue.
    """
    from nabi.control.runs import QUEUES

    if queue not in QUEUES:
        raise ConfigError(f"there is no queue {queue!r}", where="--queue", fix=f"Choose from {', '.join(QUEUES)}.")
    _connect(settings)
    from flows.queueing import submit

    run_id, name = submit(persona_ids, as_of, preset, queue=queue)
    console.print(f"queued ({queue}): {name}", markup=False)
    return _followed([run_id]) if wait else True


def queue_windows(
    settings: Settings,
    persona_ids: Sequence[str],
    ends: Sequence[datetime],
    preset: Any,
    *,
    wait: bool,
    replay: bool = False,
) -> None:
    """Queues past windows, and follows them to their end; what does not fit at once is queued as room comes."""
    _connect(settings)
    from flows.queueing import queue_windows

    left: Sequence[datetime] = ends
    while left:
        queued = queue_windows(persona_ids, left, preset, replay=replay)
        console.print(queued.sentence, markup=False)
        if not wait:
            return
        _followed([*queued.underway, *queued.new])
        left = queued.left
        if left:
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def queue_rows(settings: Settings) -> list[dict[str, Any]]:
    """What works and what waits, one row a run with its reason; empty when the platform is not up."""
    if not is_up(settings):
        return []
    _connect(settings)
    import httpx

    from flows.queueing import runs_now

    try:
        runs = runs_now()
    except httpx.TransportError as error:
        return [{"run": None, "queue": None, "state": "unknown", "why": f"Prefect's server does not answer ({error})"}]
    return [
        {
            "run": run.title,
            "queue": run.queue if run.deployed else "by hand",
            "state": run.state_name,
            "why": f"at {run.step}" if run.state == "running" and run.step else run.sentence,
        }
        for run in runs
    ]


def _followed(run_ids: Sequence[UUID]) -> bool:
    from flows.following import follow

    try:
        runs = follow(run_ids, lambda line: console.print(f"  {line}", markup=False))
    except KeyboardInterrupt:
        console.print("It goes on without this command; the pages and `nabi status` show how it ends.")
        raise
    return all(run.state is not None and run.state.is_completed() for run in runs)


def _connect(settings: Settings) -> None:
    """Sets Prefect's client up for the platform's server. Must come before any import of `flows`."""
    from nabi.integrations.local_servers import prefect_environment
    from nabi.integrations.running import running_servers

    address = running_servers(settings)["prefect"]
    os.environ.update(prefect_environment(settings, int(address.rsplit(":", 1)[1])))
