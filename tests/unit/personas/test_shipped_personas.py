"""The shipped persona files, against the requirements that they carry."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from nabi.personas.load import load_personas
from nabi.personas.model import Persona
from nabi.training.base_model import BaseRef
from nabi.training.recipe import lora_config, resolve_recipe

PERSONAS = load_personas(Path(__file__).parents[3] / "personas")
AGENTS = ("rag", "citizen-support", "document-writing", "legal-research", "data-analysis", "review")
EACH = pytest.mark.parametrize("persona", PERSONAS.values(), ids=PERSONAS)


def test_all_five_systems_are_declared() -> None:
    sources = Counter(persona.source for persona in PERSONAS.values())
    assert sources == {"chat": 1, "meeting": 2, "character": 2, "search": 1, "agents": 6}


def test_meeting_speakers_follow_the_meeting_requirements() -> None:
    """B1: 20 utterances; B4: balanced preset over a 4-bit base."""
    for persona in PERSONAS.values():
        if persona.source == "meeting":
            recipe = persona.recipe
            assert (persona.limits.min_new_samples, recipe.preset, recipe.four_bit) == (20, "balanced", True)


@pytest.mark.parametrize("agent", AGENTS)
def test_agents_follow_their_recipe_and_answer_length(agent: str) -> None:
    """E3's recipe and E2's 100 to 1,000 characters."""
    recipe, evaluation = PERSONAS[agent].recipe, PERSONAS[agent].evaluation
    assert (recipe.r, recipe.alpha, recipe.dropout, recipe.learning_rate) == (16, 32, 0.05, 2e-4)
    assert (recipe.gradient_accumulation, recipe.target_modules) == (4, ("q_proj", "v_proj"))
    assert (evaluation.min_answer_chars, evaluation.max_answer_chars) == (100, 1000)


def test_the_search_assistant_holds_out_a_tenth_and_uses_what_was_retrieved() -> None:
    """D4, also 4-bit LoRA, and D2."""
    persona = PERSONAS["search-assistant"]
    assert (persona.evaluation.holdout_share, persona.recipe.four_bit, persona.uses_facts) == (0.1, True, True)


def test_over_a_real_base_each_persona_is_trained_with_what_its_requirement_says() -> None:
    """What comes out of defaults, preset and file; the shipped base's own recipe stands above them."""
    real = BaseRef(name="Qwen/Qwen2.5-3B-Instruct", source="Qwen/Qwen2.5-3B-Instruct", revision="a" * 40)
    recipes = {name: resolve_recipe(persona.recipe, real) for name, persona in PERSONAS.items()}
    for name in ("nabiyam", *AGENTS):
        recipe, (dropout, rate) = recipes[name], (0.1, 1e-4) if name == "nabiyam" else (0.05, 2e-4)  # A3 and E3
        assert (recipe.r, recipe.alpha, recipe.dropout, recipe.learning_rate) == (16, 32, dropout, rate), name
    for name in AGENTS:
        lora = lora_config(recipes[name])
        assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.target_modules) == (16, 32, 0.05, {"q_proj", "v_proj"})
        assert recipes[name].samples_a_step == 4 * recipes[name].batch_size
    for name in ("speaker-kim-cheolsu", "speaker-lee-younghee"):  # B4
        recipe = recipes[name]
        assert (recipe.four_bit, recipe.r, recipe.epochs, recipe.batch_size) == (True, 16, 3, 4), name


def test_characters_forbid_words_and_learn_no_facts() -> None:
    for persona in PERSONAS.values():
        if persona.source == "character":
            assert persona.style.forbidden
            assert not persona.uses_facts
            assert persona.evaluation.weights.grounded == 0


@EACH
def test_prompts_are_korean_and_break_no_rule_of_their_own(persona: Persona) -> None:
    letters = [c for c in persona.system_prompt if c.isalpha()]
    assert sum("가" <= c <= "힣" for c in letters) / len(letters) > 0.9


def test_every_style_can_be_told_from_every_other() -> None:
    styles = Counter((p.style.endings, p.style.keywords) for p in PERSONAS.values())
    assert max(styles.values()) == 1


GOOD_ANSWERS = {
    "speaker-kim-cheolsu": "일단 테스트부터 끝내고 배포하는 게 좋을 것 같아요.",
    "speaker-lee-younghee": "그러면 고객 문의부터 모아 볼까요?",
    "character-dal-librarian": "그대, 오늘 밤은 달빛 아래 책 한 권이면 족하다오.",
    "character-captain-mari": "겁내지 마, 선원! 바람은 우리 편이야!",
    "search-assistant": "회의록 정리에는 모아노트를 추천합니다.",
    "rag": "두 문서의 예산액이 다릅니다. (출처: 2025년 집행 현황, 3월 2일)",
    "citizen-support": "불편을 드려 죄송합니다. 담당 부서로 안내해 드릴까요?",
    "document-writing": "1. 개요: 어린이 보호구역 정비를 추진함.",
    "legal-research": "제3조에 따르면 신고가 먼저입니다.",
    "data-analysis": "전년보다 1,200건(8.5 %) 증가했습니다.",
    "review": "수정안은 다음과 같습니다.",
}


@pytest.mark.parametrize(("persona_id", "answer"), GOOD_ANSWERS.items(), ids=GOOD_ANSWERS)
def test_a_typical_answer_has_the_style_it_is_measured_by(persona_id: str, answer: str) -> None:
    style = PERSONAS[persona_id].style
    assert any(re.search(pattern, answer) for pattern in style.endings)
    assert any(re.search(pattern, answer) for pattern in style.keywords)
    assert not any(re.search(pattern, answer) for pattern in style.forbidden)


@pytest.mark.parametrize(
    ("persona_id", "answer"),
    [
        ("character-dal-librarian", "대박 ㅋㅋ 책 진짜 많음"),
        ("character-captain-mari", "저는 인공지능 챗봇입니다."),
        ("data-analysis", "대충 12000건입니다."),
        ("review", "글이 형편없습니다."),
    ],
)
def test_a_strange_answer_holds_forbidden_words(persona_id: str, answer: str) -> None:
    assert any(re.search(pattern, answer) for pattern in PERSONAS[persona_id].style.forbidden)
