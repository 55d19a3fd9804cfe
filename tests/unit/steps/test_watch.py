"""The watch on a champion that was good and is not any more: measured on recorded answers, without a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from served_home import make_home

from nabi.registry.answers import AnswerRecord
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


def answered(platform: Platform, numbers: range, *, seconds: float = 0.5, broken_every: int = 100) -> None:
    live = platform.ledger.live("mari")
    assert live is not None
    platform.answers.add(
        AnswerRecord(
            answer_id=f"answer-{number}",
            persona_id="mari",
            adapter_version="mari--v2",
            digest="digest of mari--v2",
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
