from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nabi.database.engine import Database
from nabi.registry.stops import KEPT, Stops

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def test_a_run_stays_stopped_until_it_is_handed_back_and_may_be_stopped_again(database: Database) -> None:
    stops = Stops(database)
    stops.note(["run-1", "run-2"], NOON)
    stops.note_handed_back("run-1")
    assert stops.of(["run-1", "run-2", "run-3"]) == {"run-1": True, "run-2": False}
    stops.note(["run-1"], NOON + timedelta(hours=1))
    assert stops.of(["run-1"]) == {"run-1": False}


def test_a_stop_of_long_ago_is_forgotten(database: Database) -> None:
    stops = Stops(database)
    stops.note(["old"], NOON)
    stops.note(["new"], NOON + KEPT + timedelta(seconds=1))
    assert stops.of(["old", "new"]) == {"new": False}
