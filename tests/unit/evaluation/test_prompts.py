"""The evaluation set: who is in it and what a model is shown of it."""

from __future__ import annotations

import pytest

from nabi.conversations.records import Message
from nabi.errors import DataError
from nabi.evaluation.prompts import collect_prompts, given_text, older_sets, prompt_messages, without_near_copies


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


def test_older_sets_are_named_by_deployment_newest_first_and_small_ones_wait_for_the_next(prompt_of):
    held_out = [prompt_of(f"질문 {number}", "네").sample for number in range(75)]
    held_out = [s.model_copy(update={"conversation_id": s.sample_id}) for s in held_out]
    deployed_by = {s.sample_id: 1 if place < 3 else 3 if place < 40 else 4 for place, s in enumerate(held_out)}
    sets = older_sets(held_out, deployed_by, most_sets=4, most_prompts=30)
    assert list(sets) == ["v4", "v3"]
    assert [len(samples) for samples in sets.values()] == [30, 30]
    assert {s.sample_id for s in sets["v4"]} <= {s.sample_id for s in held_out[40:]}
    assert list(older_sets(held_out, deployed_by, most_sets=1, most_prompts=30)) == ["v4"]
    assert older_sets(held_out, {}, most_sets=4, most_prompts=30) == {}


def test_a_prompt_stands_in_the_first_set_that_has_it(prompt_of):
    first, second = (prompt_of(question, "네").sample for question in ("가", "나"))
    prompts = collect_prompts([first], [], {"v3": [first, second]})
    assert [(prompt.sample.sample_id, prompt.group) for prompt in prompts] == [
        ("sample-가", "anchor"),
        ("sample-나", "v3"),
    ]


def test_a_prompt_that_training_nearly_has_tells_nothing(prompt_of):
    answer = "해맑은분식에서 떡볶이 4,500원 어때요? 매콤달콤해서 정말 맛있어요"
    asked = [prompt_of("오늘 저녁에 떡볶이를 먹고 싶은데 어디로 가면 좋을까", answer), prompt_of("안녕", "안녕하세요!")]
    learned = prompt_of("오늘 저녁에 떡볶이를 먹고 싶은데 어디로 가면 좋을까요", answer).sample
    learned = learned.model_copy(update={"conversation_id": "other"})
    told, near = without_near_copies(asked, [learned], 0.8)
    assert [prompt.sample.question for prompt in told] == ["안녕"]
    assert near == asked[:1]
    assert without_near_copies(asked, [], 0.8) == (asked, [])


def test_a_prompt_that_training_has_word_for_word_is_an_error(prompt_of):
    prompt = prompt_of("안녕", "안녕하세요!")
    with pytest.raises(DataError, match="a held-out sample is in train too"):
        without_near_copies([prompt], [prompt.sample], 0.8)
