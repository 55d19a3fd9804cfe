from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nabi.database.engine import Database
from nabi.database.inserts import BATCH, batches, insert_new
from nabi.database.tables import TrainingRow

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def rows(num: int) -> list[dict[str, object]]:
    return [{"persona_id": "p", "as_of": NOON + timedelta(hours=hour), "started_at": NOON} for hour in range(num)]


def test_only_rows_that_are_not_there_yet_are_inserted_and_counted(database: Database) -> None:
    with database.write() as session:
        assert insert_new(session, TrainingRow, rows(3)) == 3
    with database.write() as session:
        assert insert_new(session, TrainingRow, rows(BATCH + 7)) == BATCH + 4


def test_nothing_to_insert_is_nothing_done(database: Database) -> None:
    with database.write() as session:
        assert insert_new(session, TrainingRow, []) == 0


def test_batches_hold_every_item_once_and_in_order() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
