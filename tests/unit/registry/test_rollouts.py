from __future__ import annotations

import pytest

from nabi.database.engine import Database
from nabi.errors import ConfigError
from nabi.personas.model import RolloutPlan
from nabi.registry.ledger import Ledger
from nabi.registry.rollouts import OnTrial, Rollouts, is_chosen

BY = {"who": "a test", "why": "a test"}
SESSIONS = [f"session-{number}" for number in range(4000)]


def test_a_trial_begins_grows_and_ends(database: Database) -> None:
    rollouts = Rollouts(database)
    assert rollouts.running("nabiyam") is None
    begun = rollouts.start("nabiyam", "nabiyam--v2", "d" * 64, 10, **BY)
    assert (begun.candidate, begun.share) == ("nabiyam--v2", 10)
    rollouts.start("nabiyam", "nabiyam--v2", "d" * 64, 50, **BY)
    assert rollouts.all_running()["nabiyam"].share == 50
    ended = rollouts.end("nabiyam", "promoted", **BY)
    assert ended is not None
    assert rollouts.running("nabiyam") is None
    assert rollouts.all_running() == {}
    assert rollouts.end("nabiyam", "stopped", **BY) is None


def test_while_one_is_on_trial_no_other_begins(database: Database) -> None:
    rollouts = Rollouts(database)
    rollouts.start("nabiyam", "nabiyam--v2", "d" * 64, 10, **BY)
    with pytest.raises(ConfigError, match="nabiyam--v2 is on trial already"):
        rollouts.start("nabiyam", "nabiyam--v3", "d" * 64, 10, **BY)
    rollouts.start("mari", "mari--v3", "d" * 64, 10, **BY)


@pytest.mark.parametrize("share", [0, 101, -5])
def test_a_share_is_a_percentage(database: Database, share: int) -> None:
    with pytest.raises(ConfigError, match="is not in 1…100"):
        Rollouts(database).start("nabiyam", "nabiyam--v2", "d" * 64, share, **BY)


def test_the_champion_is_no_candidate(database: Database) -> None:
    Ledger(database).deploy("nabiyam", "nabiyam--v2", "d" * 64, **BY)
    with pytest.raises(ConfigError, match="nabiyam--v2 is live"):
        Rollouts(database).start("nabiyam", "nabiyam--v2", "d" * 64, 10, **BY)


def test_a_barred_version_is_neither_tried_nor_made_live_again(database: Database) -> None:
    rollouts, ledger = Rollouts(database), Ledger(database)
    ledger.deploy("nabiyam", "nabiyam--v1", "1" * 64, **BY)
    ledger.deploy("nabiyam", "nabiyam--v2", "2" * 64, **BY)
    ledger.rollback("nabiyam", **BY)
    rollouts.bar("nabiyam", "nabiyam--v2", who="the watch", why="worse: violations")
    rollouts.bar("nabiyam", "nabiyam--v2", who="somebody", why="another reason")
    assert rollouts.why_barred("nabiyam--v2") == "worse: violations"
    assert rollouts.why_barred("nabiyam--v1") is None
    with pytest.raises(ConfigError, match="must not be live again: worse: violations"):
        ledger.promote("nabiyam", "nabiyam--v2", "2" * 64, **BY)
    with pytest.raises(ConfigError, match="must not be live again"):
        rollouts.start("nabiyam", "nabiyam--v2", "2" * 64, 10, **BY)
    live = ledger.live("nabiyam")
    assert live is not None
    assert live.champion == "nabiyam--v1"


def test_two_watchers_roll_back_once(database: Database) -> None:
    ledger = Ledger(database)
    ledger.deploy("nabiyam", "nabiyam--v1", "1" * 64, **BY)
    ledger.deploy("nabiyam", "nabiyam--v2", "2" * 64, **BY)
    for _ in range(2):
        assert ledger.rollback("nabiyam", only_from="nabiyam--v2", **BY).champion == "nabiyam--v1"
    assert len(ledger.history("nabiyam")) == 3


def test_a_session_stays_where_it_is_when_the_share_grows() -> None:
    chosen = {share: {s for s in SESSIONS if is_chosen("nabiyam", "nabiyam--v2", s, share)} for share in (10, 50, 100)}
    assert 320 < len(chosen[10]) < 480
    assert chosen[10] < chosen[50] < chosen[100] == set(SESSIONS)
    other = {session for session in SESSIONS if is_chosen("nabiyam", "nabiyam--v3", session, 10)}
    assert len(other & chosen[10]) < 100


def test_a_step_is_taken_once_and_only_from_what_was_seen(database: Database) -> None:
    rollouts, plan = Rollouts(database), RolloutPlan(shares=(10, 50))
    seen = rollouts.start("nabiyam", "nabiyam--v2", "d" * 64, 10, plan=plan, **BY)
    grown = rollouts.step(seen, 50, **BY)
    assert grown is not None
    assert (grown.share, grown.plan) == (50, plan)
    assert rollouts.running("nabiyam") == grown
    assert rollouts.step(seen, 50, **BY) is None  # another server was first
    rollouts.end("nabiyam", "stopped", **BY)
    assert rollouts.step(grown, 100, **BY) is None
    assert rollouts.running("nabiyam") is None


def test_the_gate_changes_no_champion_under_a_trial_but_a_person_may(database: Database) -> None:
    rollouts, ledger = Rollouts(database), Ledger(database)
    ledger.deploy("nabiyam", "nabiyam--v1", "1" * 64, **BY)
    rollouts.start("nabiyam", "nabiyam--v2", "2" * 64, 10, **BY)
    with pytest.raises(OnTrial, match=r"nabiyam--v2 is on trial with 10 % of the sessions.*nabi promote nabiyam--v2"):
        ledger.deploy("nabiyam", "nabiyam--v3", "3" * 64, **BY)
    assert ledger.promote("nabiyam", "nabiyam--v3", "3" * 64, **BY).champion == "nabiyam--v3"


@pytest.mark.parametrize("shares", [(), (0, 10), (50, 10), (10, 10), (10, 101)])
def test_a_plan_rises_within_a_hundred_percent(shares: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shares"):
        RolloutPlan(shares=shares)


def test_a_plan_knows_what_follows() -> None:
    plan = RolloutPlan(shares=(5, 25))
    assert [plan.after(share) for share in (1, 5, 10, 25, 100)] == [5, 25, 25, None, None]
