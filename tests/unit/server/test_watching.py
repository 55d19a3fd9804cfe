"""One look at everything that answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_home import make_home

from nabi.errors import TransientError
from nabi.server.hosting import Hosting
from nabi.server.watching import watch_all


@pytest.fixture
def hosting(tmp_path: Path, tiny_base_dir: Path) -> Iterator[Hosting]:
    hosting = Hosting(make_home(tmp_path / "home", tiny_base_dir.parent))
    hosting.table.refresh()
    yield hosting
    hosting.close()


def test_one_that_cannot_be_looked_at_keeps_no_other_from_it(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    troubles = {"bare": TransientError("the database is away."), "mari": RuntimeError("nobody expected this")}

    def watch(_platform: Any, persona_id: str) -> None:
        looked.append(persona_id)
        if persona_id in troubles:
            raise troubles[persona_id]

    monkeypatch.setattr("nabi.server.watching.watch", watch)
    with pytest.raises(ExceptionGroup, match="bare, mari cannot be watched") as met:
        watch_all(hosting)
    assert list(met.value.exceptions) == list(troubles.values())
    assert looked == ["bare", "mari", "nabiyam"]


def test_what_was_taken_back_answers_at_once(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    refreshed: list[str] = []
    monkeypatch.setattr(hosting.table, "refresh", lambda: refreshed.append("looked"))
    monkeypatch.setattr(
        "nabi.server.watching.watch", lambda _platform, persona_id: "taken back" if persona_id == "mari" else None
    )
    watch_all(hosting)
    assert refreshed == ["looked"]
