"""Near-exact copies are seen; different texts are not confused."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest

from nabi.conversations.records import Conversation, Message
from nabi.datasets.overlap import ensure_apart, text_key
from nabi.datasets.samples import Sample, sample_from
from nabi.errors import DataError


def sample(conversation_id: str, question: str, answer: str, **fact: str) -> Sample:
    return sample_from(
        Conversation(
            conversation_id=conversation_id,
            persona_id="p",
            source="chat",
            occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
            messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
            facts=(fact,) if fact else (),
        )
    )


@pytest.mark.parametrize(
    "question",
    [
        "떡볶이 먹고 싶어!!",
        " 떡볶이  먹고싶어",
        unicodedata.normalize("NFD", "떡볶이 먹고 싶어"),
        "떡볶이 먹고 싶어 😊",
    ],
)
def test_spaces_signs_and_unicode_forms_make_no_difference(question: str) -> None:
    assert text_key(sample("b", question, "4,500원이에요!")) == text_key(
        sample("a", "떡볶이 먹고 싶어", "4500원 이에요")
    )


def test_facts_make_a_difference() -> None:
    assert text_key(sample("a", "얼마야?", "몰라요", 가격="100원")) != text_key(sample("a", "얼마야?", "몰라요"))


def test_question_and_answer_do_not_run_together() -> None:
    assert text_key(sample("a", "가나", "다")) != text_key(sample("a", "가", "나다"))


def test_the_same_text_on_both_sides_is_an_error() -> None:
    with pytest.raises(DataError, match="held-out sample is in train too"):
        ensure_apart([sample("a", "뭐 먹지?", "김밥 어때요?")], [sample("b", "뭐 먹지", "김밥 어때요")])


def test_the_same_conversation_on_both_sides_is_an_error() -> None:
    with pytest.raises(DataError, match="held-out sample is in train too"):
        ensure_apart([sample("a", "뭐 먹지?", "김밥 어때요?")], [sample("a", "다른 질문", "다른 답")])


def test_the_same_question_with_another_answer_is_none() -> None:
    ensure_apart([sample("a", "뭐 먹지?", "김밥 어때요?")], [sample("b", "뭐 먹지?", "국수 어때요?")])
