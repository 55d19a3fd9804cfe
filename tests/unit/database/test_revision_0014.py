"""Revision 0014: notices that concern no persona."""

from __future__ import annotations

from datetime import UTC, datetime

from revisions import downgrade

from nabi.database.engine import Database
from nabi.database.schema import migrate
from nabi.registry.notices import Notices

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def test_what_the_tables_before_cannot_hold_goes_and_the_rest_stays(database: Database) -> None:
    notices = Notices(database, clock=lambda: NOON)
    notices.note("gave_up", "p", "p: killed 3 times.", {"run": "r1"}, occasion="r1")
    notices.note("deletion_waits", None, "Request 1 waits.", {"request": 1}, occasion="1:0")
    assert [notice.persona_id for notice in notices.latest()] == [None, "p"]
    with database.write() as session:
        connection = session.connection()
        downgrade(connection, "0013")
        migrate(connection)
    assert [notice.id for notice in notices.latest()] == ["gave_up:p:r1"]
    assert notices.note("deletion_waits", None, "Request 1 waits.", {"request": 1}, occasion="1:0")
