"""The control loop: looks at every run each two seconds and does what the rules say. `python -m flows.control`.

It may be killed and started again at any moment, and run twice: it keeps nothing but the last half minute's readings of
the machine, and only the holder of one lease acts.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from flows.work_pool import POOL
from nabi.control.decide import decide
from nabi.control.runs import Situation
from nabi.errors import LeaseLost, TransientError
from nabi.registry.leases import control_lease
from nabi.repeating import Repeating
from nabi.resources.monitor import Monitor
from nabi.resources.processes import this_process
from nabi.resources.sensors import read_resources
from nabi.steps.notify import deliver_notices
from nabi.wiring import Platform, get_platform
from tasks.broken_off import BrokenOff
from tasks.runs import RunBook

logger = logging.getLogger("nabi.control")

TICK_SECONDS = 2.0
TELL_SECONDS = 30.0
_READ_SECONDS = 0.5  # of each tick, over which the processor's load is measured


class ControlLoop:
    """One look after the other.

    Args:
        client: of the server whose runs they are.
        monitor: what the machine was doing lately.
    """

    def __init__(self, client: SyncPrefectClient, platform: Platform, monitor: Monitor) -> None:
        self._client = client
        self._platform = platform
        self._book = RunBook(client, platform)
        self._broken_off = BrokenOff(self._book)
        self._monitor = monitor

    def tick(self) -> int:
        """Looks once; how many actions that were. Nothing is done while another loop holds the lease."""
        reading = read_resources(interval_seconds=_READ_SECONDS)
        self._monitor.add(reading, time.monotonic())
        if not self._leads():
            return 0
        runs = self._book.read(gpu=reading.gpu is not None)
        actions = decide(runs, self._situation())
        for action in actions:
            self._book.carry_out(action)
        self._broken_off.end(runs)
        return len(actions)

    def _situation(self) -> Situation:
        gpu = self._monitor.mean().gpu
        return Situation(
            saturated=self._monitor.saturated(),
            watched=self._monitor.can_tell,
            gpu_free_bytes=gpu.memory_free_bytes if gpu else None,
            working=self._book.working(),
            max_waiting=self._platform.settings.max_waiting_runs,
        )

    def _leads(self) -> bool:
        leases = self._platform.leases
        # The pool's id tells one server from another, whatever address it is reached by.
        name = control_lease(str(self._client.read_work_pool(POOL).id))
        mine = leases.acquire([name], _holder()).mine
        try:
            leases.beat(mine)
        except LeaseLost:
            return False
        return bool(mine)


def run(beat: Path, ended: threading.Event) -> None:
    """Looks until `ended` is set; touches `beat` each time, so that a supervisor sees that it lives."""
    platform = get_platform()
    beat.parent.mkdir(parents=True, exist_ok=True)
    with get_client(sync_client=True) as client:
        loop = ControlLoop(client, platform, Monitor(platform.limits))
        while not ended.wait(TICK_SECONDS - _READ_SECONDS):
            try:
                loop.tick()
            except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, TransientError) as error:
                # A server that is away comes back; until then nothing can be decided.
                logger.warning("cannot look at the runs now: %s: %s", type(error).__name__, error)
            beat.touch()


def telling(platform: Platform) -> Repeating:
    """Delivers notices beside the loop, which must not wait for a receiver that is away."""
    return Repeating("notices", partial(deliver_notices, platform), every_s=TELL_SECONDS)


def _holder() -> str:
    process = this_process()
    return f"control loop {process.pid} on {process.host}"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    settings = get_platform().settings
    logger.info("the control loop runs (process %d)", os.getpid())
    telling(get_platform()).start()
    run(settings.state / "run" / "control.beat", ended)
    get_platform().leases.clear(_holder())
    logger.info("the control loop has ended")


if __name__ == "__main__":
    main()
