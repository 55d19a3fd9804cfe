"""The evaluation set: who is in it and what a model is shown of it."""

from __future__ import annotations

import pytest

from nabi.conversations.records import Message
from nabi.errors import DataError
from nabi.evaluation.prompts import collect_prompts, given_text, prompt_messages


def test_anchors_come_first_and_a_sample_in_both_is_an_anchor(prompt_of):
    first, second, third = (prompt_of(question, "네, 있어요").sample for question in ("가", "나", "다"))
    prompts = collect_prompts([first, second], [second, third])
    assert [(prompt.sample.sample_id, prompt.group) for prompt in prompts] == [
        ("sample-가", "anchor"),
        ("sample-나", "anchor"),
        ("sample-다", "holdout"),
    ]


def test_a_sample_without_a_reference_is_refused(prompt_of):
    with pytest.raises(DataError, match="sample-가: there is no reference answer"):
        collect_prompts([prompt_of("가", " ").sample], [])


def test_another_personas_sample_is_refused(prompt_of):
    stranger = prompt_of("나", "네").sample.model_copy(update={"persona_id": "other"})
    with pytest.raises(DataError, match="it belongs to other, the set to helper"):
        collect_prompts([prompt_of("가", "네").sample], [stranger])


def test_no_samples_make_no_prompts():
    assert collect_prompts([], []) == []


def test_earlier_turns_are_shown_and_count_as_given(persona, prompt_of):
    earlier = (Message(role="user", content="안녕"), Message(role="assistant", content="별빛식당도 있어요"))
    shown = prompt_messages(persona, prompt_of("거기 어때?", "좋아요", earlier=earlier))
    assert [message["role"] for message in shown] == ["system", "user", "assistant", "user"]
    assert "별빛식당" in given_text(shown)
    assert "좋아요" not in given_text(shown)
