from __future__ import annotations

from datetime import UTC, datetime

from revisions import downgrade
from sqlalchemy import text

from nabi.database.engine import Database
from nabi.database.schema import migrate
from nabi.registry.journal import REPLAY, Journal

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def test_windows_from_before_are_live_ones_and_a_replay_may_stand_beside_them(database: Database) -> None:
    journal = Journal(database)
    journal.start("p", NOON)
    journal.finish("p", NOON, "kept", "kept.")
    with database.write() as session:
        connection = session.connection()
        downgrade(connection, "0007")
        assert connection.execute(text("SELECT state FROM windows")).scalars().all() == ["kept"]
        migrate(connection)
    assert [standing.line for standing in journal.latest("p")] == ["live"]
    assert journal.start("p", NOON, REPLAY) is None
