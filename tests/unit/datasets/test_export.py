from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.records import Basis, Message
from nabi.conversations.sources.instructions import read_instructions
from nabi.conversations.sources.rows import Accepted, Delivery
from nabi.datasets.export import SHAPES, export_name, rows_in_shape, write_export
from nabi.datasets.samples import Sample
from nabi.errors import ConfigError
from nabi.personas.model import Persona, Speaker

NOON = datetime(2025, 1, 24, 5, 30, tzinfo=UTC)
BASIS = Basis(source="agents", by="a", on=date(2026, 6, 1), why="b")


def persona(persona_id: str, source: str, **changes: Any) -> Persona:
    values = {"id": persona_id, "name": "김철수", "system_prompt": "짧게", "source": source, "basis": (BASIS,)}
    return Persona.model_validate(values | changes)


KIM = persona("kim", "meeting", speaker=Speaker(id="speaker_001", names=("김철수",)))
FINDER, AGENT = persona("finder", "search"), persona("citizen-support", "agents")


def sample(*said: str, facts: Any = ()) -> Sample:
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[place % 2], content=text) for place, text in enumerate(said))
    return Sample(
        sample_id="s", conversation_id="c", persona_id="p", source="x", occurred_at=NOON, messages=messages, facts=facts
    )


PAIR = sample("일정은요?", "다음 주예요.")
FOUND = sample(
    "회의록 도구", "모아노트를 추천합니다.", facts=({"이름": "모아노트", "설명": "한 줄\n두 줄"}, {"이름": "봄"})
)


def only(made: Sample, who: Persona, shape: str) -> dict[str, Any]:
    [row] = rows_in_shape([made], who, shape)
    return row


def test_a_speaker_s_row_carries_instruction_input_output_id_and_name() -> None:
    """B3, to the letter."""
    assert only(PAIR, KIM, "instruction") == {
        "instruction": "김철수의 말투로 답변하세요",
        "input": "일정은요?",
        "output": "다음 주예요.",
        "speaker_id": "speaker_001",
        "speaker_name": "김철수",
    }


def test_an_agent_s_row_names_its_type_and_anybody_else_s_the_persona() -> None:
    assert only(FOUND, AGENT, "instruction") == {
        "instruction": "회의록 도구",
        "input": "- 이름: 모아노트 | 설명: 한 줄 두 줄\n- 이름: 봄",
        "output": "모아노트를 추천합니다.",
        "agent_type": "citizen_support",
    }
    assert only(PAIR, FINDER, "instruction")["persona_id"] == "finder"


def test_a_prompt_holds_question_and_items_and_only_the_answer_is_completed() -> None:
    """D2, and C6: what was retrieved is in the prompt only."""
    row = only(FOUND, FINDER, "prompt")
    assert row["prompt"] == (
        "질문: 회의록 도구\n\n관련 정보:\n- 이름: 모아노트 | 설명: 한 줄 두 줄\n- 이름: 봄\n\n답변: "
    )
    assert row["completion"] == "모아노트를 추천합니다."
    assert "관련 정보:\n없음\n" in only(PAIR, FINDER, "prompt")["prompt"]


def test_earlier_turns_stand_above_the_question_where_there_are_no_turns() -> None:
    talk = sample("안녕", "네!", "일정은요?", "다음 주예요.")
    assert only(talk, FINDER, "instruction")["instruction"] == "이전 대화:\n사용자: 안녕\n답변: 네!\n\n일정은요?"
    assert [m["role"] for m in only(talk, FINDER, "messages")["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]


@pytest.mark.parametrize("who", [KIM, FINDER, AGENT], ids=["speaker", "search", "agent"])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_what_is_exported_can_be_taken_in_again(tmp_path: Path, who: Persona, shape: str) -> None:
    path = write_export([PAIR, FOUND], who, shape, folder=tmp_path, moment=NOON)
    rows = list(read_instructions(path, Delivery(b"k" * 32, personas={who.id: who})))
    conversations = [row.conversation for row in rows if isinstance(row, Accepted)]
    assert [c.messages[-1].content for c in conversations] == [PAIR.answer, FOUND.answer]
    assert {c.persona_id for c in conversations} == {who.id}
    if shape == "prompt":
        assert [fact["이름"] for fact in conversations[1].facts] == ["모아노트", "봄"]
        assert conversations[1].messages[0].content == FOUND.question


def test_the_file_is_named_by_speaker_and_time_and_never_overwritten(tmp_path: Path) -> None:
    path = write_export([PAIR], KIM, "instruction", folder=tmp_path / "new", moment=NOON)
    assert path.name == "speaker_001_dataset_20250124_143000.jsonl"
    assert [json.loads(line)["input"] for line in path.read_text(encoding="utf-8").splitlines()] == ["일정은요?"]
    with pytest.raises(ConfigError, match="already"):
        write_export([PAIR], KIM, "instruction", folder=tmp_path / "new", moment=NOON)
    odd = KIM.model_copy(update={"speaker": Speaker(id="../화자 1")})
    assert export_name(odd, NOON) == "---화자-1_dataset_20250124_143000.jsonl"


def test_an_unknown_shape_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="instruction, prompt, messages"):
        rows_in_shape([PAIR], KIM, "xml")
