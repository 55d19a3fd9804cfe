"""Processes that end with the one that started them, even when that one is killed."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: little may be done after a fork


def end_with_the_parent() -> None:
    """For `preexec_fn`: the kernel sends SIGTERM when the starting thread dies. Linux alone offers it."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
