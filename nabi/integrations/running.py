"""What runs on behalf of one installation: at most one `nabi up`, and nothing left over of an earlier one.

A process belongs to the installation when it carries the installation's state folder in its environment, which every
child inherits. So it is found again whatever its name, its parent and its age.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from nabi.errors import ConfigError, TransientError
from nabi.settings import Settings

MARK = "NABI_PLATFORM"
"""Environment variable of every process of the platform: the installation's state folder."""

_PATIENCE_SECONDS = 1.0  # whoever only looks whether the lock is taken holds it for a moment


class AlreadyUp(ConfigError):
    """Another `nabi up` holds this installation."""


def run_folder(settings: Settings) -> Path:
    return settings.state / "run"


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Holds the installation for the length of the block. The kernel lets go of it when the process dies.

    Raises:
        AlreadyUp: another process holds it; says where its servers are.
    """
    path = _lock_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with path.open("a") as handle:
        while not _take(handle.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise AlreadyUp(_who_is_up(settings), fix="`nabi status` shows its processes, `nabi down` ends it.")
            time.sleep(0.05)
        yield


def is_up(settings: Settings) -> bool:
    """Whether a `nabi up` holds this installation now."""
    try:
        with _lock_path(settings).open("r") as handle:
            return not _take(handle.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def note_up(settings: Settings, servers: Mapping[str, str], *, ready: bool) -> None:
    """Leaves word of this `nabi up` and its servers (name → address), for other commands to find."""
    path = _note_path(settings)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps({"pid": os.getpid(), "servers": dict(servers), "ready": ready}))
    fresh.replace(path)


def forget_up(settings: Settings) -> None:
    _note_path(settings).unlink(missing_ok=True)


def running_servers(settings: Settings) -> dict[str, str]:
    """Name → address of what `nabi up` serves on this installation; empty when it is not up, or not yet."""
    note = _note(settings)
    return dict(note["servers"]) if is_ready(settings) else {}


def is_ready(settings: Settings) -> bool:
    """Whether the `nabi up` of this installation has started everything; False as well when there is none."""
    return bool(_note(settings)["ready"]) and is_up(settings)


def up_process(settings: Settings) -> psutil.Process | None:
    """The `nabi up` of this installation; None when there is none."""
    note = _note(settings)
    if not is_up(settings) or not psutil.pid_exists(note["pid"]):
        return None
    return psutil.Process(note["pid"])


def mark(settings: Settings) -> dict[str, str]:
    """What makes a process one of this installation's."""
    return {MARK: str(settings.state)}


def processes_of(settings: Settings) -> list[psutil.Process]:
    """Every process of this installation's platform, however it came to be. Ourselves and our parents are not meant."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(settings.state) and process.pid not in spared:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # ended meanwhile, or somebody else's
    return found


def installation_on(port: int) -> str | None:
    """The state folder of the installation whose process listens on a port; None when that is no process of nabi's, or
    another user's.
    """
    for process in psutil.process_iter():
        try:
            state = process.environ().get(MARK)
            if state and any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for connection in process.net_connections("tcp")
            ):
                return state
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def runs_at_work(settings: Settings) -> set[str]:
    """The ids of the runs that this installation's worker has processes for, told by their environment."""
    found = set()
    for process in processes_of(settings):
        try:
            run_id = process.environ().get("PREFECT__FLOW_RUN_ID")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # ended meanwhile
        if run_id:
            found.add(run_id)
    return found


def end_processes(settings: Settings, *, grace_seconds: float) -> int:
    """Ends what is left of the platform: asks once, then kills until nothing is found; how many those were.

    Raises:
        TransientError: something survived.
    """
    found = processes_of(settings)
    num = len(found)
    _signal_all(found, psutil.Process.terminate)
    psutil.wait_procs(found, timeout=grace_seconds)
    deadline = time.monotonic() + 10
    while left := processes_of(settings):
        if time.monotonic() > deadline:
            raise TransientError(f"processes that cannot be ended: {', '.join(str(process.pid) for process in left)}")
        _signal_all(left, psutil.Process.kill)
        psutil.wait_procs(left, timeout=1)
    return num


def _signal_all(processes: Sequence[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            send(process)
        except psutil.NoSuchProcess:
            continue


def _take(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _who_is_up(settings: Settings) -> str:
    note = _note(settings)
    state = "is up already" if note["ready"] else "is starting already"
    return f"the platform {state}: " + ", ".join(f"{name} {url}" for name, url in note["servers"].items())


def _note(settings: Settings) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads(_note_path(settings).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {"pid": 0, "servers": {}, "ready": False}
    return note


def _lock_path(settings: Settings) -> Path:
    return run_folder(settings) / "up.lock"


def _note_path(settings: Settings) -> Path:
    return run_folder(settings) / "up.json"
