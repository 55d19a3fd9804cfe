"""Dialogues made from the catalogue keep their promises, judged by a checker of its own."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nabi.catalogue.dialogue_check import check_dialogue
from nabi.catalogue.dialogues import KINDS, make_dialogues
from nabi.catalogue.lookup import LOCAL_TIME, find_facts
from nabi.catalogue.model import Catalogue
from nabi.catalogue.workbook import read_workbook
from nabi.conversations.records import Conversation, Message
from nabi.errors import DataError
from nabi.personas.model import Persona

ROOT = Path(__file__).parents[3]
LIMIT = 8000
REFUSED = 0.05


@pytest.fixture(scope="module")
def dialogues(town: Catalogue) -> list[Conversation]:
    return make_dialogues(town, "nabiyam", 2000, 7, LIMIT, refused=REFUSED)


@pytest.fixture(scope="module")
def nabiyam() -> Persona:
    return Persona(**yaml.safe_load((ROOT / "personas" / "nabiyam.yaml").read_text(encoding="utf-8")))


def test_two_thousand_different_dialogues_keep_every_promise(dialogues: list[Conversation], town: Catalogue) -> None:
    assert len({c.messages for c in dialogues}) == len({c.conversation_id for c in dialogues}) == 2000
    broken = {c.conversation_id: reasons for c in dialogues if (reasons := check_dialogue(c, town, LIMIT))}
    assert broken == {}


def test_shipped_workbook_gives_as_many_as_the_loop_asks_for(nabiyam: Persona) -> None:
    """The dialogues that `make run` trains on and the anchors beside them."""
    assert nabiyam.bootstrap is not None
    catalogue = read_workbook(ROOT / nabiyam.bootstrap.workbook).catalogue
    num, limit = nabiyam.bootstrap.target + nabiyam.evaluation.anchors, nabiyam.bootstrap.daily_limit
    made = make_dialogues(catalogue, nabiyam.id, num, 20260701, limit, refused=nabiyam.bootstrap.refused)
    assert [reasons for c in made if (reasons := check_dialogue(c, catalogue, limit))] == []
    assert {c.kind for c in made} == set(KINDS)
    assert len({c.facts[0]["가게"] for c in made if c.facts}) > 60


def test_every_kind_is_there_and_what_is_left_to_people_is_not(dialogues: list[Conversation]) -> None:
    counts = Counter(c.kind for c in dialogues)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 10


def test_same_catalogue_and_seed_give_the_same_bytes(town: Catalogue, dialogues: list[Conversation]) -> None:
    again = make_dialogues(replace(town), "nabiyam", 300, 7, LIMIT, refused=REFUSED)
    assert [c.model_dump_json() for c in again] == [c.model_dump_json() for c in dialogues[:300]]
    other = make_dialogues(town, "nabiyam", 300, 8, LIMIT, refused=REFUSED)
    assert {c.conversation_id for c in other} != {c.conversation_id for c in again}


def test_facts_are_those_that_serving_would_find(dialogues: list[Conversation], town: Catalogue) -> None:
    for c in dialogues[:300]:
        found = find_facts(town, c.messages[-2].content, c.messages[:-2], c.occurred_at, LIMIT)
        assert found.facts == c.facts
        assert c.kind in (found.kind, "refusal")


def test_some_questions_find_nothing_and_the_answer_says_so(dialogues: list[Conversation]) -> None:
    misses = [c for c in dialogues if not c.facts and c.kind not in ("smalltalk", "unknown", "refusal")]
    assert 0.02 <= len(misses) / len(dialogues) <= 0.15
    assert all("못 찾았어요" in c.messages[-1].content for c in misses)


def test_follow_ups_have_two_turns_and_the_others_one(dialogues: list[Conversation]) -> None:
    assert all(len(c.messages) == (4 if c.kind == "followup" else 2) for c in dialogues)


def test_children_ask_in_many_words_and_both_registers(dialogues: list[Conversation]) -> None:
    questions = [c.messages[-2].content for c in dialogues]
    assert len(set(questions)) > 1200
    polite = sum(bool(re.search(r"요[?!~.]*( ㅎㅎ)?$", q)) for q in questions)
    assert 0.15 < polite / len(questions) < 0.7


def test_nobody_is_in_the_dialogues(dialogues: list[Conversation]) -> None:
    for c in dialogues:
        assert c.consent.training
        assert (c.user_key, c.source, c.consent.given_at) == (None, "bootstrap", None)


def test_good_influence_is_said_exactly_where_it_is_known(dialogues: list[Conversation]) -> None:
    for c in dialogues:
        if c.kind in ("category", "menu", "budget") and c.facts:
            assert ("착한가게" in c.messages[-1].content) == ("착한가게" in c.facts[0])


def test_answers_have_the_voice_that_the_persona_file_declares(dialogues: list[Conversation], nabiyam: Persona) -> None:
    for answer in {c.messages[-1].content for c in dialogues}:
        assert any(re.search(ending, answer) for ending in nabiyam.style.endings), answer
        assert any(re.search(word, answer) for word in nabiyam.style.keywords), answer
        assert not any(re.search(word, answer) for word in nabiyam.style.forbidden), answer


def test_plain_report_style_is_not_the_voice(nabiyam: Persona) -> None:
    answer = "떡볶이는 해맑은분식에서 4,500원에 판매합니다."
    assert not any(re.search(ending, answer) for ending in nabiyam.style.endings)
    assert any(re.search(word, answer + " 착한가게입니다.") for word in nabiyam.style.forbidden)


def test_persona_file_gives_the_defaults_of_the_requirements(nabiyam: Persona) -> None:
    recipe, limits = nabiyam.recipe, nabiyam.limits
    assert (recipe.r, recipe.alpha, recipe.dropout, recipe.learning_rate) == (16, 32, 0.1, 1e-4)
    assert (limits.min_new_samples, limits.max_trainings_per_day, limits.timezone) == (50, 4, "Asia/Seoul")
    assert nabiyam.bootstrap is not None
    assert len(nabiyam.system_prompt) <= 80


def test_too_small_a_catalogue_says_so(town: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nabi.catalogue.dialogues.MOST_FRUITLESS_DRAWS", 5)  # so that it gives up within the second
    tiny = Catalogue(town.shops[:1], town.menus[:1])
    with pytest.raises(DataError, match="different dialogues"):
        make_dialogues(tiny, "nabiyam", 2000, 1, LIMIT, refused=REFUSED)
    with pytest.raises(DataError, match="no usable menu"):
        make_dialogues(replace(town, menus=()), "nabiyam", 1, 1, LIMIT, refused=REFUSED)


def _good(dialogues: list[Conversation]) -> Conversation:
    """떡볶이 of 해맑은분식, asked for with money named, so that every rule has something to judge."""
    return next(c for c in dialogues if c.kind == "budget" and c.facts and c.facts[0]["가게"] == "해맑은분식")


def _with(
    conversation: Conversation, *, answer: str | None = None, question: str | None = None, **more: object
) -> Conversation:
    turns = list(conversation.messages)
    if answer is not None:
        turns[-1] = Message(role="assistant", content=answer)
    if question is not None:
        turns[-2] = Message(role="user", content=question)
    return conversation.model_copy(update={"messages": tuple(turns), **more})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "해맑은분식에서 떡볶이 드세요 😊" * 9}, "characters"),
        ({"answer": "해맑은분식에서 판매합니다."}, "does not end"),
        ({"answer": "해맑은분식에서 맥주 한잔 어때요? 😊"}, "not for this voice"),
        ({"answer": "해맑은분식에서 떡볶이 3,900원 어때요? 😊"}, "3,900원 is in no fact"),
        ({"answer": "은하수반점 어때요? 😊"}, "은하수반점 is in no fact"),
        ({"answer": "떡볶이 어때요? 😊"}, "best fact, is not in the answer"),
        ({"question": "2,000원으로 뭐 먹지"}, "more than 2,000원"),
        ({"question": "2천원으로 뭐 먹지"}, "more than 2,000원"),
        ({"question": "천원으로 뭐 먹지? 010-0000-0012"}, "personal data"),
        ({"user_key": "abc"}, "no user"),
        ({"source": "chat"}, "no user"),
        ({"kind": "allergy"}, "left to conversations with people"),
        ({"facts": ({"가게": "없는가게", "메뉴": "떡볶이", "가격": "4,500원"},)}, "not in the catalogue"),
        ({"facts": ({"가게": "해맑은분식", "메뉴": "떡볶이", "가격": "4,400원"},)}, "does not cost"),
        ({"facts": ({"가게": "해맑은분식", "메뉴": "어묵탕", "가격": "3,500원"},)}, "sold out"),
        (
            {"facts": ({"가게": "꼬마버거", "메뉴": "핫도그", "가격": "2,500원", "착한가게": "예"},)},
            "no good-influence",
        ),
        ({"facts": ()}, "is in no fact"),
    ],
)
def test_checker_finds_planted_faults(
    change: dict[str, object], reason: str, dialogues: list[Conversation], town: Catalogue
) -> None:
    faulty = _with(_good(dialogues), **change)  # type: ignore[arg-type]
    assert any(reason in found for found in check_dialogue(faulty, town, LIMIT))


def test_checker_finds_closed_shops_and_the_daily_limit(dialogues: list[Conversation], town: Catalogue) -> None:
    good = _good(dialogues)
    night = good.occurred_at.astimezone(LOCAL_TIME).replace(hour=3)
    assert any("closed" in reason for reason in check_dialogue(_with(good, occurred_at=night), town))
    assert any("more than 1,000원" in reason for reason in check_dialogue(good, town, 1000))
