from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete

from nabi.database.engine import Database, open_database
from nabi.database.guard import guarded
from nabi.database.scrub import scrub
from nabi.database.tables import TrainingRow
from nabi.errors import TransientError

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def test_many_may_hold_the_guard_shared(database: Database) -> None:
    with guarded(database, "w"), guarded(database, "w", wait_s=0.1):
        pass


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_who_holds_it_alone_keeps_the_others_out(database: Database, first: bool, second: bool) -> None:
    with (
        guarded(database, "w", alone=first),
        pytest.raises(TransientError, match="noted and finished"),
        guarded(database, "w", alone=second, wait_s=0.1),
    ):
        pass
    with guarded(database, "w", alone=True, wait_s=0.1), guarded(database, "other", alone=True, wait_s=0.1):
        pass


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_scrubbing_leaves_no_byte_of_what_was_deleted(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'nabi.db'}")
    with database.write() as session:
        names = [f"kept-{number}" for number in range(400)] + [f"CANARY-{number}" for number in range(400)]
        session.add_all(TrainingRow(persona_id=name, as_of=NOON, started_at=NOON) for name in names)
    assert b"CANARY" in bytes_of(tmp_path)
    with database.write() as session:
        session.execute(delete(TrainingRow).where(TrainingRow.persona_id.startswith("CANARY")))
    scrub(database)
    left = bytes_of(tmp_path)
    assert b"CANARY" not in left
    assert b"kept-399" in left


def test_a_reader_of_an_old_state_is_named_instead_of_leaving_bytes_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nabi.database.engine.BUSY_TIMEOUT_S", 0.2)
    database = open_database(f"sqlite:///{tmp_path / 'nabi.db'}")
    with database.write() as session:
        session.add(TrainingRow(persona_id="p", as_of=NOON, started_at=NOON))
    with database.read() as reader:
        reader.get(TrainingRow, ("p", NOON))
        with database.write() as session:
            session.execute(delete(TrainingRow))
        with pytest.raises(TransientError, match="old state"):
            scrub(database)
