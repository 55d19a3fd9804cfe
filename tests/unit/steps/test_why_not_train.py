"""What keeps a window from training: too few new samples, or as many trainings as a day of the persona's may have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nabi.settings import Settings
from nabi.steps.bootstrap import why_not_train
from nabi.steps.window import Filled, Window
from nabi.wiring import Platform

MIDNIGHT_IN_SEOUL = datetime(2026, 6, 30, 15, tzinfo=UTC)
PERSONA = "id: bot\nname: bot\nsystem_prompt: 짧게.\nlimits: {{timezone: {zone}}}\n"


def restarted(home: Path) -> Platform:
    """The installation as another process finds it."""
    return Platform(Settings(home=home))


def filled(as_of: datetime, num_new: int = 50) -> Filled:
    window = Window(persona_id="bot", as_of=as_of)
    return Filled(window=window, num_new_logs=num_new, num_learned_logs=0, num_bootstrap=0, num_new_bootstrap=0)


@pytest.fixture(params=["Asia/Seoul", "UTC"])
def zone(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def home(tmp_path: Path, zone: str) -> Path:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "bot.yaml").write_text(PERSONA.format(zone=zone))
    return tmp_path


def test_the_fifth_training_of_a_day_waits_for_the_next_day_where_the_persona_lives(home: Path, zone: str) -> None:
    """Each training by a process of its own, the last one begun twice: a restart is no second training."""
    for number in range(4):
        as_of = MIDNIGHT_IN_SEOUL + timedelta(hours=number)
        for platform in (restarted(home), restarted(home)):
            platform.journal.start("bot", as_of)
            assert why_not_train(platform, filled(as_of)) is None
            platform.journal.record_training("bot", as_of)
    platform = restarted(home)
    fifth = filled(MIDNIGHT_IN_SEOUL + timedelta(hours=8))  # 8 in the morning in Seoul, 23 o'clock in UTC
    assert why_not_train(platform, fifth) == "skipped: 4 trainings today already, the limit is 4"
    tomorrow_here = {"Asia/Seoul": timedelta(hours=24), "UTC": timedelta(hours=9)}[zone]
    assert why_not_train(platform, filled(MIDNIGHT_IN_SEOUL + tomorrow_here)) is None
    assert why_not_train(platform, filled(MIDNIGHT_IN_SEOUL + tomorrow_here - timedelta(seconds=1))) is not None


def test_too_few_new_samples_are_said_with_both_numbers(home: Path) -> None:
    assert why_not_train(restarted(home), filled(MIDNIGHT_IN_SEOUL, num_new=49)) == "skipped: 49 of 50 new samples"
