"""The thread that watches what answers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from served_home import make_home

from nabi.server.hosting import Hosting
from nabi.server.watching import Watch


def test_what_nobody_expected_does_not_end_the_watch(
    tmp_path: Path, tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosting = Hosting(make_home(tmp_path / "home", tiny_base_dir.parent))
    hosting.table.refresh()
    looked: list[str] = []
    enough = threading.Event()

    def watch(_platform: Any, persona_id: str) -> None:
        looked.append(persona_id)
        if looked.count("nabiyam") >= 2:
            enough.set()
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("nabi.server.watching.watch", watch)
    running = Watch(hosting, every_s=0.01)
    running.start()
    assert enough.wait(30)
    running.stop()
    hosting.close()
    assert set(looked) == {"bare", "mari", "nabiyam"}
