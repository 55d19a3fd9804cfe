"""Curation is asked for twice in a pass, by the filter and by the snapshot, and done once while nothing changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.settings import Settings
from nabi.steps.collect import _curated, curated_logs
from nabi.steps.window import Window
from nabi.wiring import Platform

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
WINDOW = Window(persona_id="bot", as_of=NOON + timedelta(days=1))
ANSWERS = ("네, 떡볶이는 삼천 원이에요.", "오늘은 여덟 시까지 열어요.", "가까운 김밥집을 찾아 드릴게요.")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    personas = tmp_path / "personas"
    personas.mkdir()
    (personas / "bot.yaml").write_text("id: bot\nname: bot\nsystem_prompt: 짧게.\n")
    platform = Platform(Settings(home=tmp_path))
    platform.store.add(
        Conversation(
            conversation_id=f"said-{number}",
            persona_id="bot",
            source="chat",
            occurred_at=NOON,
            messages=(
                Message(role="user", content=f"{number}번 가게에서 무엇을 먹을까요?"),
                Message(role="assistant", content=answer),
            ),
            user_key=str(number) * 64,
            consent=Consent(training=True),
        )
        for number, answer in enumerate(ANSWERS)
    )
    _curated.cache_clear()
    return platform


def test_asked_again_with_nothing_changed_it_is_not_done_again(platform: Platform) -> None:
    first, again = curated_logs(platform, WINDOW), curated_logs(platform, WINDOW)
    assert len(first[0].kept) == len(ANSWERS)
    assert again == first
    assert (_curated.cache_info().misses, _curated.cache_info().hits) == (1, 1)


def test_what_was_deleted_in_between_is_gone_and_its_words_are_not_kept(platform: Platform) -> None:
    curated_logs(platform, WINDOW)
    platform.store.forget_person("1" * 64, who="test")
    new, _learned = curated_logs(platform, WINDOW)
    assert [item.conversation_id for item in new.kept] == ["said-0", "said-2"]
    assert _curated.cache_info().currsize == 1


def test_another_rule_of_the_persona_is_another_question(platform: Platform) -> None:
    curated_logs(platform, WINDOW)
    rule = "style: {forbidden: [김밥집]}\n"
    (platform.settings.personas / "bot.yaml").write_text("id: bot\nname: bot\nsystem_prompt: 짧게.\n" + rule)
    new, _learned = curated_logs(platform, WINDOW)
    assert [item.conversation_id for item in new.kept] == ["said-0", "said-1"]


def test_another_personas_broken_file_stops_nobody_else(platform: Platform) -> None:
    (platform.settings.personas / "hana.yaml").write_text("id: [")
    new, _learned = curated_logs(platform, WINDOW)
    assert len(new.kept) == len(ANSWERS)
