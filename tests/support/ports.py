"""Ports for servers that tests start as processes of their own."""

from __future__ import annotations

import itertools
import os
import socket

# Below those that the kernel hands out by itself (on Linux from 32768 on), and others for each worker of pytest-xdist:
# nobody takes one between this choice and the moment, seconds later, in which the server listens.
_FIRST, _EACH = 12_000, 1_000
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_steps = itertools.count(os.getpid())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and that no other test is given."""
    for step in itertools.islice(_steps, _EACH):
        port = _FIRST + _worker * _EACH + step % _EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("none of this worker's ports is free")
