from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nabi.database.engine import Database
from nabi.registry.crashes import Crashes

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def test_each_death_is_counted_once_by_step_and_run(database: Database) -> None:
    crashes = Crashes(database)
    for minutes, step in ((5, "train"), (0, "snapshot"), (5, "train")):
        crashes.record("run-1", NOON + timedelta(minutes=minutes), step)
    crashes.record("run-2", NOON, "train")
    assert crashes.of(["run-1", "run-3"]) == {
        "run-1": [(NOON, "snapshot"), (NOON + timedelta(minutes=5), "train")],
    }
