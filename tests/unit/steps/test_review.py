"""What a person decides about the set apart, and that nothing is used before they did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.conversations.store import SetApart
from nabi.errors import ConfigError, DataError
from nabi.settings import Settings
from nabi.steps.collect import curated_logs, keep_usable
from nabi.steps.review import correct, drop, look, mark_bad, release
from nabi.steps.window import Collected, Window
from nabi.wiring import Platform

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
WINDOW = Window(persona_id="bot", as_of=NOON + timedelta(days=1))


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    personas = tmp_path / "personas"
    personas.mkdir()
    (personas / "bot.yaml").write_text("id: bot\nname: bot\nsystem_prompt: 짧게.\n")
    return Platform(Settings(home=tmp_path))


def said(name: str, answer: str, **changes: Any) -> Conversation:
    values: dict[str, Any] = {
        "conversation_id": name,
        "persona_id": "bot",
        "source": "operator",
        "occurred_at": NOON,
        "messages": (Message(role="user", content="떡볶이 먹고 싶어요"), Message(role="assistant", content=answer)),
        "user_key": "a" * 64,
        "consent": Consent(training=True),
    }
    return Conversation(**(values | changes))


def judge_all(platform: Platform, *conversations: Conversation) -> dict[str, SetApart]:
    platform.store.add(conversations)
    keep_usable(platform, Collected(window=WINDOW, num_new=0, num_learned=0))
    return {item.conversation_id or "": item for item in platform.store.list_set_apart("bot")}


def kept(platform: Platform) -> set[str]:
    return {conversation.conversation_id for conversation in curated_logs(platform, WINDOW)[0].kept}


def test_what_is_set_apart_is_not_used_until_it_is_released(platform: Platform) -> None:
    apart = judge_all(
        platform, said("good", "해맑은분식에서 떡볶이 4,500원 어때요?"), said("bad", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ")
    )
    assert kept(platform) == {"good"}
    number = apart["bad"].id or 0
    assert look(platform, number).conversation == said("bad", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ")
    release(platform, [number], who="duri")
    assert kept(platform) == {"good", "bad"}
    item = look(platform, number).item
    assert (item.decision, item.decided_by) == ("released", "duri")
    assert item.decided_at is not None
    assert platform.store.list_set_apart("bot", only_undecided=True) == []


def test_only_the_named_filter_is_overruled(platform: Platform) -> None:
    judge_all(platform, said("bad", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ"))
    platform.store.set_apart(None, [(said("bad", ""), "another reason", "")])
    other = next(i for i in platform.store.list_set_apart("bot") if i.reason == "another reason")
    release(platform, [other.id or 0], who="duri")
    assert kept(platform) == set()


def test_a_missing_consent_cannot_be_released_even_among_others(platform: Platform) -> None:
    apart = judge_all(
        platform, said("bad", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ"), said("no", "떡볶이 어때요?", consent=Consent())
    )
    numbers = [apart["bad"].id or 0, apart["no"].id or 0]
    with pytest.raises(DataError, match="which nobody may overrule"):
        release(platform, numbers, who="duri")
    assert kept(platform) == set()
    assert platform.store.released("bot") == {}


def test_a_row_that_never_became_a_conversation_is_mended_at_its_source(platform: Platform) -> None:
    platform.store.set_apart_rows([SetApart("bot", "chat", "unusable row", raw="{half", user_key="a" * 64)])
    [item] = platform.store.list_set_apart("bot")
    with pytest.raises(DataError, match="never became a conversation"):
        release(platform, [item.id or 0], who="duri")
    drop(platform, [item.id or 0], who="duri")
    dropped = look(platform, item.id or 0).item
    assert (dropped.decision, dropped.raw) == ("dropped", None)
    platform.store.set_apart_rows([SetApart("bot", "chat", "unusable row", raw="{half", user_key="a" * 64)])
    assert platform.store.list_set_apart("bot", only_undecided=True) == []
    with pytest.raises(DataError, match="its words are gone"):
        release(platform, [item.id or 0], who="duri")


def test_dropping_a_refused_row_leaves_the_conversation_whose_id_it_wanted(platform: Platform) -> None:
    first = said("c1", "해맑은분식에서 떡볶이 4,500원 어때요?")
    platform.store.add([first])
    platform.store.add([said("c1", "다른 사람의 말이에요", user_key="b" * 64)])
    [item] = platform.store.list_set_apart("bot")
    assert look(platform, item.id or 0).conversation is None
    for _again in range(2):
        drop(platform, [item.id or 0], who="duri")
    assert platform.store.get("c1") == first
    assert platform.store.erasures.pending() == []


def test_an_unknown_number_is_named(platform: Platform) -> None:
    with pytest.raises(ConfigError, match="number 7"):
        look(platform, 7)


def test_a_correction_takes_the_answers_place_and_the_old_one_is_kept_as_bad(platform: Platform) -> None:
    delivered = said("c", "떡볶이는 싫어요 정말로.", adapter_version="bot--v1", feedback=1.0)
    platform.store.add([delivered])
    correct(platform, "c", " 해맑은분식에서 떡볶이 4,500원 어때요? ", who="mina")
    held = platform.store.get("c")
    assert held is not None
    assert (held.messages[-1].content, held.golden) == ("해맑은분식에서 떡볶이 4,500원 어때요?", True)
    assert (held.adapter_version, held.feedback) == (None, None)
    assert platform.store.replaced("bot") == {"c": [delivered]}
    (apart,) = platform.store.set_apart_of("c")
    assert (apart.decision, apart.decided_by) == ("corrected", "mina")
    assert platform.store.add([delivered]).refused == (), "an old delivery undoes nothing"
    assert platform.store.get("c") == held
    assert not platform.store.react("c", -1.0), "a reaction to the old answer says nothing of the new one"
    with pytest.raises(DataError, match="golden"):
        mark_bad(platform, "c")
    with pytest.raises(DataError, match="better answer stands"):
        release(platform, [apart.id or 0], who="mina")


def test_a_correction_that_curation_would_refuse_changes_nothing(platform: Platform) -> None:
    platform.store.add([said("c", "떡볶이는 싫어요 정말로."), said("no", "네, 좋아요 그래요.", consent=Consent())])
    for name, answer, why in (
        ("c", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ", "quality"),
        ("c", "", "another text"),
        ("c", "떡볶이는 싫어요 정말로. ", "another text"),
        ("no", "해맑은분식에서 떡볶이 4,500원 어때요?", "consent"),
        ("nobody", "해맑은분식에서 떡볶이 4,500원 어때요?", "no such conversation"),
    ):
        with pytest.raises(DataError, match=why):
            correct(platform, name, answer, who="mina")
    assert platform.store.replaced("bot") == {}


def test_an_operator_marks_an_answer_bad(platform: Platform) -> None:
    platform.store.add([said("c", "떡볶이는 싫어요 정말로.")])
    mark_bad(platform, "c")
    held = platform.store.get("c")
    assert held is not None
    assert held.feedback == -1.0
    assert kept(platform) == set()
