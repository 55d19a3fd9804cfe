"""Which process this is, so that another one can tell for certain whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told from every other that had or will have its number. `born` is comparable on its host only."""

    host: str
    pid: int
    born: str


def this_process() -> ProcessId:
    """The process that asks."""
    pid = os.getpid()
    return ProcessId(host=socket.gethostname(), pid=pid, born=_born(pid) or "")


def is_alive(process: ProcessId) -> bool | None:
    """Whether a process runs; None when it is another host's and nobody here can tell."""
    if process.host != socket.gethostname():
        return None
    return _born(process.pid) == process.born


def carries(pid: int, variable: str, value: str) -> bool:
    """Whether a process of this host runs with an environment variable of that value."""
    try:
        return psutil.Process(pid).environ().get(variable) == value
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def anybody_carries(variable: str, value: str) -> bool:
    """The same of all processes of this host that may be looked into."""
    return any(carries(pid, variable, value) for pid in psutil.pids())


def _born(pid: int) -> str | None:
    """When a process began, in a form that a change of the clock leaves alone; None when it is gone, or a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if psutil.LINUX:
            # Ticks since boot. psutil's own creation time follows the wall clock, so that a clock set a day ahead
            # would make every living process look dead.
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{boot}/{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
        return str(process.create_time())
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None
