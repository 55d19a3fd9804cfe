"""Style, form, likelihood and chrF on cases worked out by hand."""

from __future__ import annotations

from math import exp, inf, isnan

import evaluate
import pytest

from nabi.evaluation.metrics.chrf import ChrF
from nabi.evaluation.metrics.form import WellFormed
from nabi.evaluation.metrics.likelihood import AnswerLikelihood
from nabi.evaluation.metrics.style import StyleMatch


def style(answer, endings=("[요죠]",), keywords=("어때요",), forbidden=("소주",)):
    return StyleMatch().compute(predictions=[answer], endings=endings, keywords=keywords, forbidden=forbidden)[
        "per_sample"
    ][0]


def test_the_tone_of_the_persona_scores_full():
    assert style("떡볶이 어때요? 😊 맛있어요!") == {"endings": 1.0, "keywords": 1.0, "style": 1.0}


def test_each_sentence_counts():
    assert style("떡볶이 어때요? 있습니다. 4.5점이에요.")["endings"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("answer", ["맛있어요", "맛있어요!!", "맛있어요~ 😊", "맛있어요ㅎㅎ", "맛있어요 (정말이죠)."])
def test_marks_laughter_and_emoji_behind_an_ending_do_not_hide_it(answer):
    assert style(answer)["endings"] == 1.0


def test_a_pattern_may_spell_out_the_marks_itself():
    assert style("맛있어요!! 😊", endings=(r"[요죠][.!?~]*\s*[😊💛]*$",))["endings"] == 1.0


def test_a_forbidden_word_costs_the_whole_style():
    assert style("소주 어때요?")["style"] == 0.0


def test_only_what_is_declared_is_asked_for():
    assert style("있습니다.", endings=(), keywords=()) == {"style": 1.0}
    assert style("맛있어요!", keywords=()) == {"endings": 1.0, "style": 1.0}


@pytest.mark.parametrize("answer", ["", "  ", "..."])
def test_an_answer_without_words_has_no_style(answer):
    assert style(answer)["style"] == 0.0


def form(answer, finished=True):
    return WellFormed().compute(predictions=[answer], references=[finished], min_chars=2, max_chars=40)["per_sample"][0]


def test_a_sound_answer_passes_all_checks():
    assert form("떡볶이 4,500원이에요! 😊") == {
        "length": 1.0,
        "finished": 1.0,
        "unbroken": 1.0,
        "unrepeated": 1.0,
        "form": 1.0,
    }


@pytest.mark.parametrize(
    ("answer", "finished", "check"),
    [
        ("네", True, "length"),
        ("떡볶이는 정말 맛있는 음식이라서 아이들이 모두 좋아하고 어른들도 자주 찾는답니다", True, "length"),
        ("떡볶이 4,500원이에", False, "finished"),
        ("떡볶\ufffd이에요", True, "unbroken"),
        ("맛있어요 맛있어요 맛있어요 맛있어요", True, "unrepeated"),
    ],
)
def test_each_flaw_costs_its_own_check(answer, finished, check):
    row = form(answer, finished)
    assert [name for name, value in row.items() if value == 0.0] == [check]
    assert row["form"] == 0.75


def test_an_empty_answer_has_no_form():
    assert form("")["form"] == 0.0


def test_likelihood_is_the_geometric_mean_of_the_token_probabilities():
    result = AnswerLikelihood().compute(predictions=[-2.0, -9.0], references=[4, 3])
    assert [row["likelihood"] for row in result["per_sample"]] == [pytest.approx(exp(-0.5)), pytest.approx(exp(-3))]
    assert result["perplexity"] == pytest.approx(exp(11 / 7))


def test_an_answer_without_tokens_has_no_likelihood():
    result = AnswerLikelihood().compute(predictions=[0.0], references=[0])
    assert isnan(result["likelihood"])
    assert isnan(result["perplexity"])


def test_an_impossible_answer_has_no_chance_and_no_error():
    result = AnswerLikelihood().compute(predictions=[-inf], references=[3])
    assert (result["likelihood"], result["perplexity"]) == (0.0, inf)


def test_chrf_is_one_for_the_reference_and_nothing_for_a_stranger():
    result = ChrF().compute(predictions=["떡볶이 어때요?", "안녕"], references=["떡볶이 어때요?", "김밥"])
    assert [row["chrf"] for row in result["per_sample"]] == [1.0, 0.0]


def test_chrf_follows_its_formula():
    """ "가나" against "가나다": order 1 P 1 R 2/3, order 2 P 1 R 1/2, order 3 nothing; F with beta 2."""
    expected = (5 * (2 / 3) / (4 + 2 / 3) + 5 * 0.5 / (4 + 0.5) + 0) / 3
    assert ChrF().compute(predictions=["가나"], references=["가나다"])["chrf"] == pytest.approx(expected)


def test_metrics_of_equal_features_combine_as_evaluate_promises():
    """They are real `evaluate` metrics, not look-alikes."""
    combined = evaluate.combine([ChrF(), ChrF()])
    assert combined.compute(predictions=["가나"], references=["가나"])["chr_f_0_chrf"] == 1.0


def test_a_metric_can_be_used_again():
    metric = ChrF()
    first = metric.compute(predictions=["가나다라"], references=["가나다라"])
    assert metric.compute(predictions=["가나다라"], references=["가나다라"]) == first
