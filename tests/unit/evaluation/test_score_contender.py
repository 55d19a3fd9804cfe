"""Scoring one contender: its answers in, measured prompts out."""

from __future__ import annotations

from math import exp, isnan

import pytest

from nabi.errors import DataError, ModelError
from nabi.evaluation.score import breakdown, mean_quality, score_contender, weighted_quality
from nabi.personas.model import Style, Weights

QUESTION = "떡볶이 먹고 싶어"
REFERENCE = "해맑은분식에서 떡볶이 4,500원 어때요? 착한가게예요! 😊"


def test_the_reference_itself_gets_full_marks_in_all_that_is_said(engine_of, said, persona, prompt_of):
    engine = engine_of({None: {QUESTION: said(REFERENCE)}}, {None: -0.5})
    [score] = score_contender(engine, persona, [prompt_of(QUESTION, REFERENCE)], None)
    assert score.parts == {"grounded": 1.0, "style": 1.0, "likelihood": pytest.approx(exp(-0.5)), "form": 1.0}
    assert score.quality == pytest.approx(0.4 + 0.25 + 0.2 * exp(-0.5) + 0.15)
    assert score.broken == ()


def test_an_invented_price_costs_groundedness_and_a_stiff_tone_costs_style(engine_of, said, persona, prompt_of):
    engine = engine_of({"v1": {QUESTION: said("해맑은분식의 떡볶이는 9,900원입니다.")}}, {"v1": -0.5})
    [score] = score_contender(engine, persona, [prompt_of(QUESTION, REFERENCE)], "v1")
    assert score.parts["grounded"] < 0.5
    assert score.parts["style"] == 0.0
    assert score.parts["form"] == 1.0


def test_the_model_sees_the_prompt_and_the_facts_but_never_the_reference(engine_of, said, persona, prompt_of):
    engine = engine_of({None: {QUESTION: said(REFERENCE)}}, {None: -0.5})
    score_contender(engine, persona, [prompt_of(QUESTION, REFERENCE)], None)
    [shown] = engine.shown
    assert [message["role"] for message in shown] == ["system", "user"]
    assert "가격: 4,500원" in shown[0]["content"]
    assert "어때요" not in str(shown)


def test_a_persona_without_facts_is_shown_none_and_not_judged_by_them(engine_of, said, persona, prompt_of):
    engine = engine_of({None: {QUESTION: said(REFERENCE)}}, {None: 0.0})
    factless = persona.model_copy(update={"uses_facts": False})
    [score] = score_contender(engine, factless, [prompt_of(QUESTION, REFERENCE)], None)
    assert "참고 정보:" not in engine.shown[0][0]["content"]
    assert set(score.parts) == {"style", "likelihood", "form"}
    assert score.quality == pytest.approx(1.0)


def test_a_persona_without_a_declared_style_is_not_judged_by_style(engine_of, said, persona, prompt_of):
    engine = engine_of({None: {QUESTION: said(REFERENCE)}}, {None: 0.0})
    plain = persona.model_copy(update={"style": Style()})
    [score] = score_contender(engine, plain, [prompt_of(QUESTION, REFERENCE)], None)
    assert "style" not in score.parts


def test_hard_gates_are_named_on_the_prompts_they_fail(engine_of, said, persona, prompt_of):
    engine = engine_of({None: {QUESTION: said("저는 AI라서 소주를 몰라요")}}, {None: -0.5})
    [score] = score_contender(engine, persona, [prompt_of(QUESTION, REFERENCE)], None)
    assert score.broken == ("meta_leak", "forbidden_words")


def test_no_prompts_is_an_error_and_not_an_empty_success(engine_of, persona):
    with pytest.raises(DataError, match="no evaluation prompts"):
        score_contender(engine_of({}, {}), persona, [], None)


def test_an_engine_that_swallows_a_prompt_is_an_error(engine_of, said, persona, prompt_of):
    class Forgetful(engine_of):
        def generate(self, prompts, adapter):
            return super().generate(prompts, adapter)[:-1]

    engine = Forgetful({None: {QUESTION: said(REFERENCE)}}, {None: -0.5})
    with pytest.raises(ModelError, match="1 prompts gave 0 answers"):
        score_contender(engine, persona, [prompt_of(QUESTION, REFERENCE)], None)


def test_a_broken_likelihood_stays_visible_as_no_number(engine_of, said, persona, prompt_of):
    engine = engine_of({None: {QUESTION: said(REFERENCE)}}, {None: float("nan")})
    [score] = score_contender(engine, persona, [prompt_of(QUESTION, REFERENCE)], None)
    assert isnan(score.quality)


def test_weights_are_scaled_to_the_parts_that_apply():
    weights = Weights(grounded=0.5, style=0.3, likelihood=0.1, form=0.1)
    assert weighted_quality({"likelihood": 1.0, "form": 0.0}, weights) == pytest.approx(0.5)
    assert isnan(weighted_quality({"style": 1.0}, Weights(grounded=1, style=0, likelihood=0, form=0)))


def test_the_breakdown_has_stable_names_and_the_means_of_the_scores(engine_of, said, persona, prompt_of):
    answers = {QUESTION: said(REFERENCE), "우유 들어가?": said("소주예요")}
    prompts = [
        prompt_of(QUESTION, REFERENCE),
        prompt_of("우유 들어가?", "우유는 안 들어가요", group="holdout", kind="알레르기 안내"),
    ]
    scores = score_contender(engine_of({None: answers}, {None: -1.0}), persona, prompts, None)
    figures = breakdown(scores)
    assert figures["eval/quality"] == mean_quality(scores)
    assert figures["eval/anchor/quality"] == scores[0].quality
    assert figures["eval/holdout/quality"] == scores[1].quality
    assert figures["eval/kind/알레르기-안내/quality"] == scores[1].quality
    assert figures["eval/perplexity"] == pytest.approx(exp(1))
    assert figures["eval/num_prompts"] == 2
    assert figures["eval/broken/forbidden_words"] == figures["eval/broken"] == 1
    assert {"eval/grounded", "eval/style", "eval/likelihood", "eval/form", "eval/chrf"} < set(figures)
    assert breakdown([]) == {}
