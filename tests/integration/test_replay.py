"""The past played again beside a live champion: real steps on a minute base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from small_platform import NOON
from taught_platform import taught_platform

from nabi.errors import ConfigError
from nabi.registry.journal import LIVE, REPLAY, Line
from nabi.steps import bootstrap, collect, conclude, evaluate, snapshot, train
from nabi.steps.forget import forget_person
from nabi.steps.go_live import try_out
from nabi.steps.past import past_of
from nabi.steps.window import Ending, Scored, Window
from nabi.wiring import Platform

PERSONA = "bot"
EARLY, LATE = NOON - timedelta(hours=8), NOON


@dataclass
class Played:
    """One window from its beginning to its end."""

    new: int
    scored: Scored
    ending: Ending


def play(platform: Platform, as_of: datetime, line: Line) -> Played:
    """A window whose candidate the gate lets through: what then becomes of it is what is tried, not the gate."""
    window = Window(persona_id=PERSONA, as_of=as_of, line=line)
    assert collect.open_window(platform, window) is None
    kept = collect.keep_usable(platform, collect.collect(platform, window))
    filled = bootstrap.fill_up(platform, kept)
    assert bootstrap.why_not_train(platform, filled) is None
    taken = snapshot.take_snapshot(platform, filled)
    scored = evaluate.evaluate_candidate(platform, train.train_candidate(platform, taken, None, lambda *_: None))
    return Played(filled.num_new, scored, conclude.deploy(platform, conclude.judge(platform, scored)))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Platform]:
    with taught_platform(tmp_path_factory.mktemp("replay"), PERSONA, empty_mlflow) as made:
        yield made


@pytest.mark.timeout(1200)
def test_a_replay_goes_from_winner_to_winner_and_leaves_what_really_happened_alone(platform: Platform) -> None:
    live = play(platform, LATE, LIVE)
    dataset = live.scored.candidate.snapshot.version
    files = _files(platform.settings.datasets)
    ledger, learned = platform.registry.live(PERSONA), platform.store.learned_by(PERSONA)
    standing, apart = platform.journal.standing(PERSONA, LATE), platform.store.list_set_apart(PERSONA)

    early = play(platform, EARLY, REPLAY)
    late = play(platform, LATE, REPLAY)

    assert early.scored.champion is None  # not the champion of now
    assert early.new == 40  # all that existed then is new, although the live adapter knows it
    assert late.scored.champion == early.scored.candidate.adapter
    assert late.new == 20
    assert early.ending.state == late.ending.state == "won"
    assert early.ending.sentence.startswith("won the replay, nothing went live: it would have been ")

    assert platform.datasets.current() == dataset, "`datasets.dvc` is the live line's"
    assert _files(platform.settings.datasets) == files
    replayed = [played.scored.candidate.snapshot for played in (early, late)]
    assert [snapshot.num_train + snapshot.num_holdout + snapshot.num_anchors for snapshot in replayed] == [40, 60]

    assert platform.registry.live(PERSONA) == ledger
    assert platform.store.learned_by(PERSONA) == learned
    assert platform.store.list_set_apart(PERSONA) == apart
    assert platform.journal.standing(PERSONA, LATE) == standing
    assert platform.journal.trainings_on_day(PERSONA, LATE, "UTC") == 1
    assert past_of(platform, Window(persona_id=PERSONA, as_of=LATE)).champion == live.scored.candidate.adapter

    assert [window.state for window in platform.journal.latest(PERSONA, line=REPLAY)] == ["won", "won"]
    run = early.scored.candidate.snapshot.run_id
    assert run != live.scored.candidate.snapshot.run_id
    tags = platform.tracker.run_tags(run)
    assert (tags["line"], tags["decision"], tags["sentence"]) == ("replay", "won the replay", early.ending.sentence)
    won = platform.registry.version(late.scored.candidate.adapter)
    assert won.replayed
    assert won.tags["decision"] == "won the replay"
    assert won.stage == "Archived"
    with pytest.raises(ConfigError, match=f"{live.scored.candidate.adapter} is live"):
        try_out(platform, PERSONA, 10, who="test", why="the newest that is none of a replay's")


def test_a_window_of_the_replay_is_decided_once(platform: Platform) -> None:
    window = Window(persona_id=PERSONA, as_of=EARLY, line=REPLAY)
    assert collect.open_window(platform, window) is not None
    assert collect.open_window(platform, Window(persona_id=PERSONA, as_of=EARLY)) is None


def test_a_deletion_reaches_what_the_replay_made(platform: Platform) -> None:
    """Runs after the two above: the same installation, with a live and two replayed versions that hold the person."""
    (person,) = [c for c in platform.store.before(PERSONA, LATE) if c.conversation_id == f"{PERSONA}-007"]
    said = person.messages[0].content.encode()
    replayed = platform.journal.latest(PERSONA, line=REPLAY)
    before = {window.dataset_version for window in replayed}
    assert len(before) == 2
    assert {version for version in before if _holds(platform, version, said)} == before

    told = forget_person(platform, person.user_key or "", who="the test")

    adapters = {window.adapter_version for window in replayed}
    assert adapters <= {retired.adapter_version for retired in told.retired}
    assert before <= set(told.replaced)
    after = {window.dataset_version for window in platform.journal.latest(PERSONA, line=REPLAY)}
    assert len(after) == 2
    assert after.isdisjoint(before)
    assert not any(_holds(platform, version, said) for version in after if version)
    assert [path for path in platform.settings.home.rglob("*") if path.is_file() and said in path.read_bytes()] == []
    assert platform.datasets.current() == platform.journal.latest(PERSONA)[0].dataset_version


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _holds(platform: Platform, version: str | None, said: bytes) -> bool:
    assert version is not None
    return any(said in content for content in _files(platform.datasets.checkout(version, PERSONA)).values())
