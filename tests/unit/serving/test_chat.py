from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nabi.catalogue.model import Catalogue
from nabi.cli.chat import read_facts
from nabi.conversations.records import Message
from nabi.errors import ConfigError, DataError
from nabi.personas.model import Persona
from nabi.serving.chat import answer
from nabi.serving.engine import Engine, Generation
from nabi.serving.talk import Talk
from nabi.training.base_model import LoadedBase
from nabi.training.tokenise import encode_prompt


class RecordingEngine(Engine):
    """A real engine that keeps what it was asked."""

    def generate(
        self, prompts: Sequence[list[dict[str, str]]], adapter: str | None, **options: Any
    ) -> list[Generation]:
        self.asked = (prompts[0], adapter)
        return super().generate(prompts, adapter, **options)


@pytest.fixture
def engine(tiny_base: LoadedBase) -> RecordingEngine:
    return RecordingEngine(tiny_base)


PERSONA = Persona(id="nabiyam", name="나비얌", system_prompt="짧게 답해요.")
HISTORY = [Message(role="user", content="안녕"), Message(role="assistant", content="안녕하세요!")]


def test_the_prompt_is_the_one_of_training(engine: RecordingEngine) -> None:
    said = answer(engine, PERSONA, "라면?", HISTORY, [{"가게": "봄분식"}], None, max_new_tokens=4)
    prompt, adapter = engine.asked
    assert adapter is None
    assert prompt == [
        {"role": "system", "content": "짧게 답해요.\n\n참고 정보:\n- 가게: 봄분식"},
        {"role": "user", "content": "안녕"},
        {"role": "assistant", "content": "안녕하세요!"},
        {"role": "user", "content": "라면?"},
    ]
    assert said.num_tokens <= 4
    assert encode_prompt(engine.base.tokenizer, prompt)


def test_nothing_found_is_told_to_the_persona(engine: RecordingEngine) -> None:
    answer(engine, PERSONA, "라면?", [], [], None, max_new_tokens=1)
    assert engine.asked[0][0]["content"].endswith("참고 정보: 없음")


def test_a_persona_without_facts_sees_none(engine: RecordingEngine) -> None:
    persona = PERSONA.model_copy(update={"uses_facts": False})
    answer(engine, persona, "라면?", [], [{"가게": "봄분식"}], None, max_new_tokens=1)
    assert engine.asked[0][0]["content"] == "짧게 답해요."


def test_given_facts_take_the_place_of_a_look_up(engine: RecordingEngine, tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"회의": "주간 회의", "일시": "금요일 3시"}\n{"빈칸": null}\n')
    given = read_facts(PERSONA, path)
    assert given == ({"회의": "주간 회의", "일시": "금요일 3시"},)
    talk = Talk(engine, PERSONA, Catalogue(shops=(), menus=()))
    said = talk.say("다음 회의는?", now=datetime(2026, 7, 1, tzinfo=UTC), adapter=None, given=given)
    assert said.facts == given
    assert engine.asked[0][0]["content"].endswith("참고 정보:\n- 회의: 주간 회의 | 일시: 금요일 3시")
    array = tmp_path / "facts.json"
    array.write_text('[{"회의": "주간 회의"}]')
    assert read_facts(PERSONA, array) == ({"회의": "주간 회의"},)
    with pytest.raises(ConfigError, match="was trained without facts"):
        read_facts(PERSONA.model_copy(update={"uses_facts": False}), path)
    path.write_text("[1]\n")
    with pytest.raises(DataError, match=r"facts.jsonl line 1: the row is no JSON object"):
        read_facts(PERSONA, path)
