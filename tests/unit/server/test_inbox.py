"""A posted body is a file only while it is read."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nabi.server.inbox import Inbox

_READS = """
import sys, time
from pathlib import Path
from nabi.server.inbox import Inbox
with Inbox(Path(sys.argv[1])).holding(b"secret", "txt"):
    print("reading", flush=True)
    time.sleep(60)
"""


def test_the_file_is_there_whole_and_then_gone(tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    with Inbox(folder).holding(b"[1]", "json") as path:
        assert (path.read_bytes(), path.suffix) == (b"[1]", ".json")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []
    with pytest.raises(ValueError, match="reader"), Inbox(folder).holding(b"x", "txt"):
        raise ValueError("a reader fails")
    assert list(folder.iterdir()) == []


def test_a_sweep_removes_what_a_killed_server_left_and_spares_what_is_read(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    assert inbox.sweep() == 0
    with inbox.holding(b"still read", "txt") as held:
        child = subprocess.Popen(
            [sys.executable, "-c", _READS, str(tmp_path / "inbox")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "reading\n"
        assert inbox.sweep() == 0
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert len(list((tmp_path / "inbox").iterdir())) == 2
        assert inbox.sweep() == 1
        assert list((tmp_path / "inbox").iterdir()) == [held]
