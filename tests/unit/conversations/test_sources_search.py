"""Search logs: the items shown become facts, golden answers replace labels."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.keys import user_key
from nabi.conversations.records import Basis, Consent, Conversation
from nabi.conversations.sources.items import read_items
from nabi.conversations.sources.rows import NO_PERMISSION, Accepted, Delivery, Refused, Row
from nabi.conversations.sources.search import (
    MAX_VALUE_CHARS,
    TOP_K,
    read_golden_answers,
    read_search_log,
    summary,
)
from nabi.personas.model import Persona

KEY = b"k" * 32
BASIS = Basis(source="search", by="홍길동", on=date(2026, 6, 1), why="약관 제7조")
PERSONA = Persona(id="finder", name="찾기", system_prompt="말", source="search", basis=(BASIS,))
CHAT = Persona(id="chat", name="말", system_prompt="말", source="chat")

ROW: dict[str, Any] = {
    "request_id": "r1",
    "timestamp": "2026-06-30T09:00:00+09:00",
    "user_query": "회의록 도구",
    "retrieved_items": [
        {
            "id": 7,
            "name": "모아노트",
            "url": "https://moanote.example/",
            "description": "회의록 도구입니다.",
            "score": 0.9,
        }
    ],
    "llm_response_content": "모아노트를 추천합니다.",
}


def read(tmp_path: Path, *rows: dict[str, Any], personas: Any = None, **told: Any) -> list[Row]:
    path = tmp_path / "search.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    known = {"finder": PERSONA, "chat": CHAT} if personas is None else personas
    return list(read_search_log(path, Delivery(KEY, personas=known, **told)))


def read_one(tmp_path: Path, /, told: dict[str, Any] | None = None, **changes: Any) -> Row:
    row = {field: value for field, value in (ROW | changes).items() if value is not ...}
    [outcome] = read(tmp_path, row, **(told or {}))
    return outcome


def accepted(outcome: Row) -> Conversation:
    assert isinstance(outcome, Accepted), outcome
    return outcome.conversation


def refused(outcome: Row) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


def test_a_search_becomes_question_facts_and_answer(tmp_path: Path) -> None:
    conversation = accepted(read_one(tmp_path))
    assert (conversation.conversation_id, conversation.persona_id) == ("search/r1", "finder")
    assert (conversation.source, conversation.occurred_at) == ("search", datetime(2026, 6, 30, tzinfo=UTC))
    assert [message.content for message in conversation.messages] == ["회의록 도구", "모아노트를 추천합니다."]
    assert conversation.facts == (
        {"이름": "모아노트", "설명": "회의록 도구입니다.", "주소": "https://moanote.example/"},
    )
    assert (conversation.consent, conversation.basis) == (Consent(training=True), BASIS)


def test_only_the_first_items_become_facts_in_their_order(tmp_path: Path) -> None:
    items = [{"name": f"도구 {number}"} for number in range(TOP_K + 3)]
    facts = accepted(read_one(tmp_path, retrieved_items=items)).facts
    assert [fact["이름"] for fact in facts] == [f"도구 {number}" for number in range(TOP_K)]


@pytest.mark.parametrize(
    ("item", "fact"),
    [
        ("한 줄 설명", {"내용": "한 줄 설명"}),
        ({"chunk_text": "첫 문장입니다.\n\n둘째   문장입니다."}, {"내용": "첫 문장입니다. 둘째 문장입니다."}),
        ({"metadata": {"name": "a", "doc_id": "x"}, "chunk_text": "b"}, {"이름": "a", "내용": "b"}),
        ({"title": "a", "name": "b", "만든 곳": "c"}, {"이름": "b", "만든 곳": "c"}),
        ({"name": "a", "description": "같다", "chunk_text": "같다"}, {"이름": "a", "설명": "같다"}),
        ({"tags": ["회의", "기록"], "price": 0}, {"태그": "회의, 기록", "가격": "0"}),
        ({"tool_id": 1, "rank": 2, "embedding": [0.1], "rerank_score": 0.5, "extra": {"a": 1}}, None),
    ],
)
def test_items_are_told_in_short_without_what_only_a_machine_needs(tmp_path: Path, item: Any, fact: Any) -> None:
    assert accepted(read_one(tmp_path, retrieved_items=[item])).facts == ((fact,) if fact else ())


@pytest.mark.parametrize(
    ("value", "short"),
    [
        ("가" * MAX_VALUE_CHARS, "가" * MAX_VALUE_CHARS),
        ("가나다 마바사. " * 40, ("가나다 마바사. " * 40)[:MAX_VALUE_CHARS].rpartition(".")[0] + "."),
        ("가" * 500, "가" * (MAX_VALUE_CHARS - 1) + "…"),
        ("낱말 " * 100, ("낱말 " * 100)[: MAX_VALUE_CHARS - 1].rpartition(" ")[0] + "…"),
        ("버전 1.2.3 " + "나 " * 200, ("버전 1.2.3 " + "나 " * 200)[: MAX_VALUE_CHARS - 1].rpartition(" ")[0] + "…"),
    ],
)
def test_a_summary_ends_with_a_sentence_or_between_words(value: str, short: str) -> None:
    assert summary(value) == short
    assert len(summary(value)) <= MAX_VALUE_CHARS


def test_what_was_retrieved_is_never_in_what_is_learned(tmp_path: Path) -> None:
    """C6."""
    conversation = accepted(read_one(tmp_path, llm_response_content="맞는 도구가 없습니다."))
    assert "모아노트" not in repr(conversation.messages)


def test_a_golden_answer_replaces_the_label_and_the_row_says_so(tmp_path: Path) -> None:
    told = {"golden": {"r1": "봄노트를 추천합니다."}}
    conversation = accepted(read_one(tmp_path, told, feedback=-1, adapter_version="finder--v1"))
    assert conversation.messages[-1].content == "봄노트를 추천합니다."
    assert conversation.golden
    assert (conversation.feedback, conversation.adapter_version) == (None, None)  # they were about the other answer
    assert not accepted(read_one(tmp_path)).golden


@pytest.mark.parametrize("missing", [..., None, " "])
def test_a_search_without_an_answer_is_usable_with_a_golden_one_only(tmp_path: Path, missing: Any) -> None:
    assert refused(read_one(tmp_path, llm_response_content=missing)).field == "llm_response_content"
    told = {"golden": {"r1": "봄노트"}}
    assert accepted(read_one(tmp_path, told, llm_response_content=missing)).messages[-1].content == "봄노트"


def test_golden_answers_that_contradict_each_other_are_not_taken(tmp_path: Path) -> None:
    rows = [("r1", "a"), ("r2", "b"), ("r1", "c"), ("r1", "a"), (None, "d"), ("r4", " "), ("r5", "네\r\n아니요")]
    path = tmp_path / "golden.jsonl"
    path.write_text("".join(json.dumps({"request_id": i, "golden_answer": a}) + "\n" for i, a in rows) + "{")
    golden = read_golden_answers(path)
    assert golden.answers == {"r2": "b", "r5": "네\r\n아니요"}
    assert [(row.line, row.field) for row in golden.refused] == [
        (3, "golden_answer"),
        (5, "request_id"),
        (6, "golden_answer"),
        (8, ""),
    ]


def test_a_row_s_own_consent_beats_the_basis(tmp_path: Path) -> None:
    conversation = accepted(read_one(tmp_path, consent=False, user_id="u1"))
    assert (conversation.consent, conversation.basis) == (Consent(), None)
    assert conversation.user_key == user_key("u1", KEY)
    given = accepted(read_one(tmp_path, consent={"training": True, "guardian": True}, user_age=9))
    assert (given.consent.training, given.basis) == (True, None)


def test_without_consent_and_basis_a_row_is_refused_and_its_words_are_not_kept(tmp_path: Path) -> None:
    bare = PERSONA.model_copy(update={"basis": ()})
    wrong = PERSONA.model_copy(update={"basis": (BASIS.model_copy(update={"source": "agents"}),)})
    for persona in (bare, wrong):
        row = refused(read_one(tmp_path, {"personas": {"finder": persona}}, user_id="u1"))
        assert (row.phrase, row.field, row.persona_id) == (NO_PERMISSION, "consent", "finder")
        assert row.user_key == user_key("u1", KEY)
        assert "회의록" not in repr(row)


def test_whose_search_it_is_must_be_clear(tmp_path: Path) -> None:
    two = {"finder": PERSONA, "other": PERSONA.model_copy(update={"id": "other"})}
    assert refused(read_one(tmp_path, {"personas": two})).field == "persona_id"
    assert accepted(read_one(tmp_path, {"personas": two}, persona_id="other")).persona_id == "other"
    assert accepted(read_one(tmp_path, {"personas": two, "persona_id": "finder"})).persona_id == "finder"
    assert "there is no persona nobody" in refused(read_one(tmp_path, persona_id="nobody")).reason


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"request_id": ...}, "request_id"),
        ({"request_id": "x" * 197}, "request_id"),
        ({"user_query": None}, "user_query"),
        ({"user_query": " \n"}, "user_query"),
        ({"user_query": 7}, "user_query"),
        ({"llm_response_content": "a\0b"}, "llm_response_content"),
        ({"timestamp": ...}, "timestamp"),
        ({"timestamp": "2026-06-30"}, "timestamp"),
        ({"retrieved_items": "a"}, "retrieved_items"),
        ({"retrieved_items": [7]}, "retrieved_items[0]"),
        ({"retrieved_items": [{"name": {"ko": "a"}, "a": [[1]]}]}, "retrieved_items[0].'a'"),
        ({"feedback": "good"}, "feedback"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_with_its_field(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    assert refused(read_one(tmp_path, **changes)).field == field


def test_items_by_themselves_are_read_once_each_and_only_where_something_is_said_about_them(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "name": "모아노트", "description": "회의록 도구입니다.", "score": 0.5},
        {"id": 2, "name": "모아노트", "description": "회의록 도구입니다."},
        {"title": "글다듬이", "tags": ["문서", "교정"]},
        {"description": "이름이 없습니다."},
        {"name": "이름뿐", "id": 3},
    ]
    lines = tmp_path / "items.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no JSON\n")
    found = read_items(lines)
    assert found.facts == (
        {"이름": "모아노트", "설명": "회의록 도구입니다."},
        {"이름": "글다듬이", "태그": "문서, 교정"},
    )
    assert [(row.line, row.field) for row in found.refused] == [(4, "name"), (5, ""), (6, "")]
    array = tmp_path / "items.json"
    array.write_text(json.dumps(rows[:3]))
    assert read_items(array).facts == found.facts
