"""`nabi up` and `nabi down`: the whole platform on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from types import FrameType

from nabi.cli.output import console
from nabi.errors import TransientError
from nabi.settings import get_settings

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up() -> None:
    """Starts the whole platform, prints its addresses and keeps it running until Ctrl-C."""
    from nabi.cli.platform import LocalPlatform
    from nabi.integrations.running import only_one

    settings = get_settings()
    for asked in _ENDS:
        signal.signal(asked, _stop)
    try:
        with only_one(settings):
            LocalPlatform(settings).run()
    except _Stopped:
        console.print("stopped")


def down() -> None:
    """Ends the platform that `nabi up` runs on this installation, wherever it was started."""
    from nabi.cli.platform import STOP_SECONDS
    from nabi.integrations.running import is_up, up_process

    settings = get_settings()
    process = up_process(settings)
    if process is None:
        console.print("the platform is not up")
        return
    process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while is_up(settings):  # the lock goes last
        if time.monotonic() > deadline:
            raise TransientError(f"`nabi up` (process {process.pid}) did not end in {STOP_SECONDS:.0f} s")
        time.sleep(0.2)
    console.print("the platform is down")


class _Stopped(BaseException):
    """Somebody asked `nabi up` to end."""


def _stop(number: int, frame: FrameType | None) -> None:
    # Asked once is enough: ending in order must not be interrupted by the next Ctrl-C.
    for asked in _ENDS:
        signal.signal(asked, signal.SIG_IGN)
    raise _Stopped
