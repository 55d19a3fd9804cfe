from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, StatementError

from nabi.database.engine import Database
from nabi.database.tables import DatasetRowRow, LedgerRow, TrainingRow, WindowRow

SEOUL = timezone(timedelta(hours=9))
NOON = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=SEOUL)


def entry() -> LedgerRow:
    return LedgerRow(persona_id="p", at=NOON, action="deploy", champion="p--v1", digest="d", who="w", why="y")


def test_times_come_back_in_utc_to_the_microsecond(database: Database) -> None:
    with database.write() as session:
        session.add(TrainingRow(persona_id="p", as_of=NOON, started_at=NOON))
    with database.read() as session:
        as_of = session.scalars(select(TrainingRow.as_of)).one()
    assert as_of == NOON
    assert as_of.tzinfo is UTC


def test_a_time_without_a_zone_is_not_stored(database: Database) -> None:
    with pytest.raises(StatementError, match="no zone"), database.write() as session:
        session.add(TrainingRow(persona_id="p", as_of=NOON.replace(tzinfo=None), started_at=NOON))


def test_ids_sort_by_code_point_on_every_database(database: Database) -> None:
    """A server's locale would sort `a-b` and `B` elsewhere, and with them the rows of a dataset."""
    ids = ["B", "a-b", "aB", "a_b", "가"]
    with database.write() as session:
        session.add_all(TrainingRow(persona_id=name, as_of=NOON, started_at=NOON) for name in ids)
    with database.read() as session:
        assert list(session.scalars(select(TrainingRow.persona_id).order_by(TrainingRow.persona_id))) == sorted(ids)


@pytest.mark.parametrize("statement", ["update", "delete"])
def test_the_database_itself_refuses_to_change_the_ledger(database: Database, statement: str) -> None:
    with database.write() as session:
        session.add(entry())
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        row = session.scalars(select(LedgerRow)).one()
        if statement == "update":
            row.why = "another story"
        else:
            session.delete(row)


def test_a_state_that_nobody_knows_is_refused(database: Database) -> None:
    with pytest.raises(DBAPIError), database.write() as session:
        session.add(WindowRow(persona_id="p", as_of=NOON, state="odd", sentence="", figures={}, started_at=NOON))


def test_an_error_quotes_nothing_of_the_row_that_was_refused(database: Database) -> None:
    """A traceback ends in logs, and a row may be what people said."""
    row = DatasetRowRow(dataset_version="v", persona_id="p", sample_id="비밀", conversation_id="c", part="elsewhere")
    with pytest.raises(DBAPIError) as refused, database.write() as session:
        session.add(row)
    told = "".join(traceback.format_exception(refused.value))
    assert "비밀" not in told
    assert "ck_dataset_rows_part" in told or "CHECK constraint failed: part" in told
