from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import exc, select, text

from nabi.database import engine as engine_module
from nabi.database.engine import Database, open_database
from nabi.database.tables import TrainingRow
from nabi.errors import ConfigError, DataError, TransientError

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def training(persona_id: str, as_of: datetime = NOON) -> TrainingRow:
    return TrainingRow(persona_id=persona_id, as_of=as_of, started_at=NOON)


def personas_in(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(TrainingRow.persona_id).order_by(TrainingRow.persona_id)))


def test_opening_makes_the_folder_and_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "nabi.db"
    open_database(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sqlite_runs_with_wal_foreign_keys_and_full_synchronisation(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'nabi.db'}")
    with database.write() as session:
        settings = {
            name: session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")
        }
        timeout_ms = session.scalar(text("PRAGMA busy_timeout"))
    assert settings == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}
    assert timeout_ms == engine_module.BUSY_TIMEOUT_S * 1000


def test_a_write_is_kept_and_a_failed_one_leaves_nothing(database: Database) -> None:
    with database.write() as session:
        session.add(training("kept"))
    with pytest.raises(RuntimeError), database.write() as session:
        session.add(training("lost"))
        session.flush()
        raise RuntimeError
    assert personas_in(database) == ["kept"]


def test_an_error_does_not_quote_a_statements_parameters(database: Database) -> None:
    with pytest.raises(exc.DBAPIError) as met, database.write() as session:
        session.execute(text("SELECT :said\nFROM nowhere"), {"said": "010-1234-5678"})
    assert "nowhere" in str(met.value)
    assert "1234" not in str(met.value)


def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    with database.read() as session:
        before = session.scalars(select(TrainingRow.persona_id)).all()
        with database.write() as writer:
            writer.add(training("late"))
        after = session.scalars(select(TrainingRow.persona_id)).all()
    assert before == after == []
    assert personas_in(database) == ["late"]


def test_many_writers_wait_for_each_other_and_none_fails(database: Database) -> None:
    """Each adds one to what it read: a plain BEGIN would lose updates or fail with `database is locked`."""

    def add_one(number: int) -> None:
        with database.write(lock="counter") as session:
            year = session.scalars(select(TrainingRow.as_of).where(TrainingRow.persona_id == "counter")).one().year
            session.execute(text("DELETE FROM trainings"))
            session.add(training("counter", datetime(year + 1, 1, 1, tzinfo=UTC)))

    with database.write() as session:
        session.add(training("counter", datetime(2000, 1, 1, tzinfo=UTC)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(80)))
    with database.read() as session:
        assert session.scalars(select(TrainingRow.as_of)).one().year == 2080


def test_a_lock_held_too_long_is_a_transient_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_S", 0.05)
    database = open_database(f"sqlite:///{tmp_path / 'nabi.db'}")
    with (
        sqlite3.connect(tmp_path / "nabi.db", isolation_level=None) as other,
        pytest.raises(TransientError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")
        with database.write():
            pass


def test_opening_does_not_wait_for_a_writer_when_the_tables_are_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'nabi.db'}"
    first = open_database(url)
    with first.write() as session:
        session.add(training("busy"))
        session.flush()
        assert personas_in(open_database(url)) == []


def test_threads_may_open_a_new_database_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_database, [database_url] * 4))
    assert [personas_in(database) for database in opened] == [[]] * 4


def test_processes_may_open_a_new_database_at_once(database_url: str) -> None:
    processes = [get_context("fork").Process(target=open_database, args=(database_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert personas_in(open_database(database_url)) == []


def test_a_file_that_is_no_database_is_a_data_error_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "nabi.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DataError, match="damaged or is no SQLite database"):
        open_database(f"sqlite:///{path}")
    assert path.read_bytes() == b"not a database at all" * 100


def test_a_database_of_a_newer_nabi_is_refused(database_url: str) -> None:
    database = open_database(database_url)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="revision 9999") as caught:
        open_database(database_url)
    assert "Update nabi" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "cannot be read"),
        ("mysql://somebody@somewhere/nabi", "mysql"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_config_error(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_database(url)


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'nabi.db'}")


def test_a_server_that_is_away_is_a_transient_error_without_the_password() -> None:
    pytest.importorskip("psycopg2")
    with pytest.raises(TransientError, match="did not answer") as caught:
        open_database("postgresql://nabi:geheim@127.0.0.1:1/nabi")
    assert "geheim" not in str(caught.value)
