"""Notes each name and address outside this machine that a Python process asks for; Python imports it at its start.

Tests put this folder on PYTHONPATH and name the file in OUTSIDE_CALLS.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_HERE = {"", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", os.uname().nodename}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host is None or host in _HERE:
        return
    notes = os.open(os.environ["OUTSIDE_CALLS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(notes, f"{host} asked for by {' '.join(sys.orig_argv)[:200]}\n".encode())
    os.close(notes)


if "OUTSIDE_CALLS" in os.environ:
    sys.addaudithook(_watch)
