from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nabi.database.engine import Database
from nabi.registry.journal import REPLAY, Journal
from nabi.registry.progress import Progress, ProgressBook

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def test_a_pass_is_shown_where_it_is_until_its_window_has_ended(database: Database) -> None:
    journal, book = Journal(database), ProgressBook(database, clock=lambda: NOON)
    assert book.of("bot") is None
    journal.start("bot", NOON)
    book.note("bot", NOON, stage="collect", percent=2, told="reading what was said")
    book.note("bot", NOON, stage="train", percent=43.5, told="step 12 of 52")
    assert book.of("bot") == Progress(as_of=NOON, stage="train", percent=43.5, told="step 12 of 52", at=NOON)
    assert book.of("guide") is None
    journal.finish("bot", NOON, "failed", "failed: no space")
    assert book.of("bot") is None


def test_a_replay_of_the_same_time_is_a_pass_of_its_own(database: Database) -> None:
    journal, book = Journal(database), ProgressBook(database, clock=lambda: NOON + timedelta(hours=1))
    journal.start("bot", NOON)
    journal.finish("bot", NOON, "skipped", "skipped: 1 of 50 new samples")
    journal.start("bot", NOON, REPLAY)
    book.note("bot", NOON, REPLAY, stage="filter", percent=6, told="sorting out")
    found = book.of("bot")
    assert found is not None
    assert found.stage == "filter"
