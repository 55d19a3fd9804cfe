from __future__ import annotations

import pytest

from nabi.database.engine import Database
from nabi.errors import ConfigError
from nabi.registry.ledger import Ledger
from nabi.registry.removals import Removals
from nabi.registry.rollouts import Rollouts

BY = {"who": "a test", "why": "a test"}
OLD = "nobody needs it"


@pytest.fixture
def removals(database: Database) -> Removals:
    ledger = Ledger(database)
    for number in (1, 2, 3):
        ledger.deploy("bot", f"bot--v{number}", str(number) * 64, **BY)
    Rollouts(database).start("bot", "bot--v4", "4" * 64, 10, **BY)
    return Removals(database)


def test_whatever_was_chosen_before_what_is_in_force_is_left_out(removals: Removals) -> None:
    assert removals.in_force("bot") == {"bot--v3", "bot--v2", "bot--v4"}
    assert removals.begin("bot", {f"bot--v{number}": OLD for number in (1, 2, 3, 4, 5)}) == ["bot--v1", "bot--v5"]


def test_what_was_begun_is_told_until_it_is_finished(removals: Removals) -> None:
    removals.begin("bot", {"bot--v1": OLD, "bot--v5": OLD})
    assert removals.begin("bot", {"bot--v1": "for another reason"}) == []
    assert [(it.adapter_version, it.why) for it in removals.unfinished()] == [("bot--v1", OLD), ("bot--v5", OLD)]
    removals.finish("bot--v1")
    first = removals.of("bot")["bot--v1"].finished_at
    removals.finish("bot--v1")
    assert removals.of("bot")["bot--v1"].finished_at == first is not None
    assert [it.adapter_version for it in removals.unfinished()] == ["bot--v5"]
    assert removals.of("somebody-else") == {}


def test_a_version_without_files_is_neither_made_live_nor_tried(database: Database, removals: Removals) -> None:
    Rollouts(database).end("bot", "stopped", **BY)
    removals.begin("bot", {"bot--v1": OLD})
    refused = "the files of bot--v1 were removed on 20.*: nobody needs it"
    for change in (
        lambda: Ledger(database).promote("bot", "bot--v1", "1" * 64, **BY),
        lambda: Rollouts(database).start("bot", "bot--v1", "1" * 64, 10, **BY),
        lambda: removals.refuse("bot--v1"),
    ):
        with pytest.raises(ConfigError, match=refused):
            change()
    removals.refuse("bot--v2")
    live = Ledger(database).live("bot")
    assert live is not None
    assert live.champion == "bot--v3"


def test_the_way_back_stays_open_through_every_change(database: Database, removals: Removals) -> None:
    """However changes and clean-ups follow each other, a rollback finds its target's files."""
    ledger = Ledger(database)
    Rollouts(database).end("bot", "stopped", **BY)
    for number in (4, 5):
        removals.begin("bot", {f"bot--v{old}": OLD for old in range(1, number)})
        ledger.deploy("bot", f"bot--v{number}", str(number) * 64, **BY)
        removals.begin("bot", {f"bot--v{old}": OLD for old in range(1, number)})
        assert ledger.rollback("bot", **BY).champion == f"bot--v{number - 1}"
        removals.begin("bot", {f"bot--v{old}": OLD for old in range(1, number + 1)})
        assert ledger.rollback("bot", **BY).champion == f"bot--v{number}"
    assert set(removals.of("bot")) == {"bot--v1", "bot--v2", "bot--v3"}
