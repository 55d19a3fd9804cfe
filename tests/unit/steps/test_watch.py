"""The watch on a champion that was good and is not any more: measured on recorded answers, without a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from served_home import make_home

from nabi.registry.answers import AnswerRecord
from nabi.steps.standing import changes
from nabi.steps.watch import NUM_FIRST, watch
from nabi.wiring import Platform


@pytest.fixture
def platform(tmp_path: Path, empty_mlflow: Path) -> Iterator[Platform]:
    """mari's second version is live; the first one, its way back, never answered."""
    made = make_home(tmp_path / "home", tmp_path / "models")
    made.settings.state.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(empty_mlflow, made.settings.state / "mlflow.db")
    for version in ("mari--v1", "mari--v2"):
        made.ledger.deploy("mari", version, f"digest of {version}", who="a test", why="a test")
    yield made
    made.database.close()


def answered(
    platform: Platform,
    numbers: range,
    *,
    version: str = "mari--v2",
    seconds: float = 0.5,
    broken_every: int = 100,
) -> None:
    live = platform.ledger.live("mari")
    assert live is not None
    platform.answers.add(
        AnswerRecord(
            answer_id=f"{version}-{number}",
            persona_id="mari",
            adapter_version=version,
            digest=f"digest of {version}",
            at=live.since + timedelta(minutes=1 + number),
            num_prompt_tokens=10,
            num_tokens=10,
            num_chars=30 + number % 7,
            ended="stop",
            seconds=seconds,
            seconds_to_first=0.1,
            violations=("repetition",) if number % broken_every == 0 else (),
        )
        for number in numbers
    )


def test_a_champion_that_gets_worse_than_it_was_is_taken_back_and_barred(platform: Platform) -> None:
    answered(platform, range(NUM_FIRST + 200))
    assert watch(platform, "mari") is None
    answered(platform, range(NUM_FIRST + 200, NUM_FIRST + 400), broken_every=3)
    said = watch(platform, "mari")
    assert said is not None
    assert said.startswith("mari--v2 was taken back: worse than in its own first 500 answers: rules broken: 17% of 400")
    live = platform.ledger.live("mari")
    assert live is not None
    assert live.champion == "mari--v1"
    assert platform.rollouts.why_barred("mari--v2") == said.removeprefix("mari--v2 was taken back: ")
    assert watch(platform, "mari") is None


def test_a_slower_machine_is_not_the_versions_fault(platform: Platform) -> None:
    answered(platform, range(NUM_FIRST))
    answered(platform, range(NUM_FIRST, NUM_FIRST + 300), seconds=5.0)
    assert watch(platform, "mari") is None


def test_before_its_first_answers_are_complete_nothing_is_compared(platform: Platform) -> None:
    answered(platform, range(NUM_FIRST - 100))
    answered(platform, range(NUM_FIRST - 100, NUM_FIRST - 1), broken_every=1)
    assert watch(platform, "mari") is None


def test_a_candidate_that_does_worse_is_taken_back_barred_and_told_of_once(platform: Platform) -> None:
    answered(platform, range(200))
    platform.rollouts.start("mari", "mari--v3", "digest of mari--v3", 10, who="kim", why="a look")
    answered(platform, range(60), version="mari--v3", broken_every=2)
    said = watch(platform, "mari")
    assert said is not None
    assert said.startswith("mari--v3 was taken back: worse than mari--v2: rules broken: 50% of 60 answers")
    assert platform.rollouts.running("mari") is None
    assert platform.rollouts.why_barred("mari--v3") is not None
    assert watch(platform, "mari") is None
    notices = [notice for notice in platform.notices.latest(num=10) if notice.event == "trial_stopped"]
    assert [notice.facts for notice in notices] == [{"candidate": "mari--v3", "champion": "mari--v2", "share": 10}]
    told = [(it.action, it.version, it.share, it.who) for it in changes(platform, "mari")][-2:]
    assert told == [("trial", "mari--v3", 10, "kim"), ("trial_stopped", "mari--v3", None, "the watch")]


def test_a_trial_that_was_replaced_meanwhile_goes_on(platform: Platform) -> None:
    platform.rollouts.start("mari", "mari--v4", "digest of mari--v4", 10, who="kim", why="a look")
    assert platform.rollouts.end("mari", "stopped", who="the watch", why="worse", only_of="mari--v3") is None
    assert platform.rollouts.running("mari") is not None
