"""Instruction sets in three shapes, split over personas."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.keys import user_key
from nabi.conversations.records import Basis, Consent, Conversation, Message
from nabi.conversations.sources.instructions import read_instructions
from nabi.conversations.sources.rows import NO_PERMISSION, NO_PERSONA, OTHER_PERSONA, Accepted, Delivery, Refused, Row
from nabi.personas.model import Persona, Speaker

KEY = b"k" * 32
BASIS = Basis(source="agents", by="홍길동", on=date(2026, 6, 1), why="직원이 쓴 문답")


def persona(persona_id: str, source: str = "agents", **changes: Any) -> Persona:
    values = {"id": persona_id, "name": "이름", "system_prompt": "말", "source": source, "basis": (BASIS,)}
    return Persona.model_validate(values | changes)


PERSONAS = {
    "citizen-support": persona("citizen-support"),
    "rag": persona("rag"),
    "kim": persona("kim", "meeting", speaker=Speaker(id="speaker_001", names=("김철수",))),
}
ROW: dict[str, Any] = {"instruction": "출생신고는요?", "input": "", "output": "주민센터로 오세요.", "agent_type": "rag"}
CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "출생신고는요?"}, {"role": "assistant", "content": "주민센터로 오세요."}],
    "agent_type": "rag",
}


def read(tmp_path: Path, *rows: Any, name: str = "set.jsonl", **told: Any) -> list[Row]:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return list(read_instructions(path, Delivery(KEY, **({"personas": PERSONAS} | told))))


def read_one(tmp_path: Path, row: dict[str, Any], /, **changes: Any) -> Row:
    [outcome] = read(tmp_path, {field: value for field, value in (row | changes).items() if value is not ...})
    return outcome


def accepted(outcome: Row) -> Conversation:
    assert isinstance(outcome, Accepted), outcome
    return outcome.conversation


def refused(outcome: Row) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


def test_one_file_splits_over_its_agents(tmp_path: Path) -> None:
    rows = read(tmp_path, ROW, ROW | {"agent_type": "citizen_support"}, ROW | {"agent_type": "chef"})
    assert [accepted(row).persona_id for row in rows[:2]] == ["rag", "citizen-support"]
    assert accepted(rows[0]).conversation_id != accepted(rows[1]).conversation_id
    unknown = refused(rows[2])
    assert (unknown.field, unknown.phrase) == ("agent_type", NO_PERSONA)
    assert unknown.reason == "there is no agent 'chef'; known are: citizen_support, rag"


def test_the_shapes_say_the_same(tmp_path: Path) -> None:
    pair = {"prompt": "출생신고는요?", "completion": "주민센터로 오세요.", "agent_type": "rag"}
    first, second, third = (accepted(row) for row in read(tmp_path, ROW, pair, CHAT))
    assert first == second == third
    assert first.messages == (
        Message(role="user", content="출생신고는요?"),
        Message(role="assistant", content="주민센터로 오세요."),
    )
    assert (first.source, first.basis, first.consent) == ("agents", BASIS, Consent(training=True))


def test_an_input_stands_below_its_instruction(tmp_path: Path) -> None:
    conversation = accepted(read_one(tmp_path, ROW, input="2026년 자료"))
    assert conversation.messages[0].content == "출생신고는요?\n\n2026년 자료"


def test_a_speaker_s_row_asks_its_input_and_keeps_the_instruction_aside(tmp_path: Path) -> None:
    """B3: the instruction says who answers, which in serving the persona's own prompt does."""
    row = {
        "instruction": "김철수의 말투로 답변하세요",
        "input": "데이터베이스 관련 의견을 말씀해주세요",
        "output": "데이터베이스 성능을 최적화해야 합니다",
        "speaker_id": "speaker_001",
        "speaker_name": "김철수",
    }
    [outcome] = read(tmp_path, row)
    conversation = accepted(outcome)
    assert conversation.persona_id == "kim"
    assert [(m.role, m.content) for m in conversation.messages] == [
        ("system", row["instruction"]),
        ("user", row["input"]),
        ("assistant", row["output"]),
    ]
    assert conversation.user_key == user_key("speaker_001", KEY)
    assert outcome.speaker == "김철수"
    bare = accepted(read_one(tmp_path, row, input=None))
    assert [m.role for m in bare.messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"speaker_id": "speaker_009", "speaker_name": "박민수"}, NO_PERSONA),
        ({"speaker_id": "speaker_001", "speaker_name": "박민수"}, NO_PERSONA),
        ({"speaker_id": None, "speaker_name": "박민수"}, NO_PERSONA),
    ],
)
def test_a_speaker_nobody_declares_is_refused(tmp_path: Path, changes: dict[str, Any], phrase: str) -> None:
    row = refused(read_one(tmp_path, ROW, agent_type=..., **changes))
    assert (row.field, row.phrase) == ("speaker", phrase)


def test_names_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    row = refused(read_one(tmp_path, ROW, persona_id="citizen-support"))
    assert row.reason == "the row names two personas: persona_id says citizen-support and agent_type says rag"


def test_rows_that_name_nobody_are_the_caller_s(tmp_path: Path) -> None:
    bare = {field: value for field, value in ROW.items() if field != "agent_type"}
    [outcome] = read(tmp_path, bare, persona_id="citizen-support")
    assert accepted(outcome).persona_id == "citizen-support"
    assert refused(read(tmp_path, bare)[0]).field == "persona_id"
    assert refused(read(tmp_path, ROW, persona_id="citizen-support")[0]).phrase == OTHER_PERSONA


SEARCH_PROMPT = "질문: 회의록 도구\n\n관련 정보:\n- 이름: 모아노트 | 설명: 회의록: 자동\n그냥 한 줄\n\n답변: "


@pytest.mark.parametrize(
    ("prompt", "question", "facts"),
    [
        (SEARCH_PROMPT, "회의록 도구", ({"이름": "모아노트", "설명": "회의록: 자동"}, {"내용": "그냥 한 줄"})),
        ("질문: 드론\n\n관련 정보:\n없음\n\n답변:", "드론", ()),
        ("질문: 드론이 뭐죠?", "질문: 드론이 뭐죠?", ()),
        ("질문:\n관련 정보:\na\n답변:", "질문:\n관련 정보:\na\n답변:", ()),
        ("질문: a\n답변:\n관련 정보:\nb", "질문: a\n답변:\n관련 정보:\nb", ()),
        ("질문: a\n관련 정보: b\n답변: 예를 들면", "질문: a\n관련 정보: b\n답변: 예를 들면", ()),
    ],
)
def test_a_search_prompt_is_taken_apart_again(tmp_path: Path, prompt: str, question: str, facts: Any) -> None:
    """C6: its context is a fact, not something the user said."""
    conversation = accepted(read_one(tmp_path, {"prompt": prompt, "completion": "네.", "agent_type": "rag"}))
    assert (conversation.messages[0].content, conversation.facts) == (question, facts)


def test_openai_messages_may_have_parts_developers_and_tools(tmp_path: Path) -> None:
    messages = [
        {"role": "developer", "content": "짧게"},
        {"role": "user", "content": [{"type": "text", "text": "수수료"}, {"type": "text", "text": "얼마?"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "law", "arguments": "{}"}}]},
        {"role": "tool", "name": "law", "content": "제8조: 반값"},
        {"role": "assistant", "content": "제8조에 따르면 반값입니다."},
    ]
    conversation = accepted(read_one(tmp_path, CHAT, messages=messages, tools=["law", "계산기"]))
    assert [(m.role, m.content) for m in conversation.messages] == [
        ("system", "짧게"),
        ("user", "수수료\n얼마?"),
        ("assistant", "제8조에 따르면 반값입니다."),
    ]
    assert conversation.facts == ({"도구": "law", "결과": "제8조: 반값"},)
    assert conversation.style_tags == ("tool=law", "tool=계산기")


def test_what_a_tool_gave_back_for_an_earlier_question_is_no_fact_of_the_last(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}, *CHAT["messages"]]
    assert accepted(read_one(tmp_path, CHAT, messages=messages)).facts == ()


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ([{"role": "user", "content": "a"}], "messages"),
        (["a"], "messages[0]"),
        ([{"role": "bot", "content": "a"}], "messages[0].role"),
        ([{"role": ["user"], "content": "a"}], "messages[0].role"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "assistant", "tool_calls": ["x"]}], "messages[0].tool_calls[0]"),
        ([{"role": "tool", "content": ""}], "messages[0].content"),
        ([*CHAT["messages"][:1], {"role": "assistant", "content": "a", "weight": 0}], "messages[1].weight"),
        ([{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}], "messages"),
    ],
)
def test_messages_that_break_a_rule_are_refused_with_their_field(tmp_path: Path, messages: Any, field: str) -> None:
    assert refused(read_one(tmp_path, CHAT, messages=messages)).field == field


def test_what_the_card_counts_is_kept(tmp_path: Path) -> None:
    conversation = accepted(
        read_one(tmp_path, ROW, topic="복지", difficulty="easy", tools=["calculator"], style_tags=["존댓말"])
    )
    assert conversation.kind == "복지"
    assert conversation.style_tags == ("존댓말", "difficulty=easy", "tool=calculator")


def test_a_row_without_a_time_takes_the_caller_s_or_the_day_of_its_basis_or_consent(tmp_path: Path) -> None:
    moment = datetime(2026, 7, 1, tzinfo=UTC)
    assert accepted(read_one(tmp_path, ROW)).occurred_at == datetime(2026, 5, 31, 15, tzinfo=UTC)
    assert accepted(read(tmp_path, ROW, happened_at=moment)[0]).occurred_at == moment
    given = {"training": True, "given_at": "2026-07-01T00:00:00Z"}
    assert accepted(read_one(tmp_path, ROW, consent=given)).occurred_at == moment
    assert accepted(read_one(tmp_path, ROW, timestamp="2026-07-01T00:00:00Z")).occurred_at == moment
    assert refused(read_one(tmp_path, ROW, consent=True)).field == "timestamp"


def test_without_a_basis_a_row_without_consent_is_refused(tmp_path: Path) -> None:
    personas = {"rag": persona("rag", basis=())}
    [row] = read(tmp_path, ROW, personas=personas)
    assert refused(row).phrase == NO_PERMISSION
    assert "주민센터" not in refused(row).excerpt


def test_a_row_may_bring_its_own_id_time_and_person(tmp_path: Path) -> None:
    conversation = accepted(
        read_one(tmp_path, ROW, id=17, user_id="u1", consent=False, timestamp="2026-07-01T00:00:00Z")
    )
    assert (conversation.conversation_id, conversation.user_key) == ("17", user_key("u1", KEY))
    assert not conversation.consent.training


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"agent_type": "rag"}, ""),
        ({"instruction": "a", "agent_type": "rag"}, "output"),
        ({"output": "a", "agent_type": "rag"}, "instruction"),
        ({"prompt": "a", "output": "b", "agent_type": "rag"}, "prompt"),
        (ROW | {"output": " "}, "output"),
        (ROW | {"input": 7}, "input"),
        (ROW | {"output": "a\ufffd"}, "output"),
        (ROW | {"agent_type": 7}, "agent_type"),
        (ROW | {"difficulty": ["easy"]}, "difficulty"),
        (ROW | {"tools": "calculator"}, "tools"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_with_its_field(tmp_path: Path, row: dict[str, Any], field: str) -> None:
    assert refused(read_one(tmp_path, row)).field == field


def test_a_json_array_is_read_row_by_row_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    rows = [ROW, ROW | {"output": " "}, ROW | {"instruction": "다른 질문"}]
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + ",\n{broken", encoding="utf-8-sig")
    outcomes = list(read_instructions(path, Delivery(KEY, personas=PERSONAS)))
    assert [outcome.line for outcome in outcomes] == [2, 3, 4, 5]
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, False, True, False]
    assert "no valid JSON from here on" in refused(outcomes[3]).reason
    assert "{broken" in refused(outcomes[3]).excerpt
