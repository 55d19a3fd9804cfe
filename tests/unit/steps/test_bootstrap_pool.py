"""The catalogue dialogues of a persona, made once for all runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nabi.settings import Settings
from nabi.steps import bootstrap
from nabi.steps.bootstrap import bootstrap_pool
from nabi.wiring import Platform

SAMPLE = Path(__file__).resolve().parents[3] / "sample_data.xlsx"
PERSONA = "id: bot\nname: bot\nsystem_prompt: 짧게.\nbootstrap: {workbook: sample_data.xlsx, target: 40}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "sample_data.xlsx").symlink_to(SAMPLE)
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "bot.yaml").write_text(PERSONA)
    bootstrap._pool.cache_clear()
    return tmp_path


def test_the_next_run_takes_them_as_they_were_and_makes_others_where_others_are_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform(Settings(home=home))
    first = bootstrap_pool(platform, platform.persona("bot"))
    bootstrap._pool.cache_clear()  # as a process that just started
    monkeypatch.setattr(bootstrap, "make_dialogues", lambda *_arguments, **_options: pytest.fail("made"))
    again = bootstrap_pool(platform, platform.persona("bot"))
    assert again == first
    assert again[0] is not first[0]
    assert [conversation.model_dump_json() for conversation in again] == [one.model_dump_json() for one in first]
    other = Platform(Settings(home=home, seed=7))
    with pytest.raises(pytest.fail.Exception, match="made"):
        bootstrap_pool(other, other.persona("bot"))
    more = PERSONA.replace("target: 40", "target: 40, refused: 0.2")
    (home / "personas" / "bot.yaml").write_text(more)
    with pytest.raises(pytest.fail.Exception, match="made"):
        bootstrap_pool(platform, platform.persona("bot"))
