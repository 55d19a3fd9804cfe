"""The decision: what deploys, what is kept and why, and that anything missing or broken keeps the champion."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nabi.evaluation.gate import Verdict, decide
from nabi.evaluation.score import PromptScore
from nabi.personas.model import Evaluation

RULES = Evaluation(min_prompts=10, min_gain=0.05, forgetting_tolerance=0.02)
CHAMPION = "helper--v1"


def scores(
    qualities: Sequence[float], num_anchors: int = 5, broken: dict[int, tuple[str, ...]] | None = None
) -> list[PromptScore]:
    """One score a quality; the first `num_anchors` are anchors, kinds take turns."""
    return [
        PromptScore(
            sample_id=f"sample-{place}",
            group="anchor" if place < num_anchors else "holdout",
            kind=("menu", "allergy")[place % 2],
            answer="네",
            parts={"grounded": quality},
            quality=quality,
            broken=(broken or {}).get(place, ()),
        )
        for place, quality in enumerate(qualities)
    ]


def verdict(old: Sequence[PromptScore], new: Sequence[PromptScore], **rules: float) -> Verdict:
    return decide(old, new, RULES.model_copy(update=rules), CHAMPION)


def test_enough_gain_deploys_and_the_sentence_gives_the_figures():
    found = verdict(scores([0.712] * 10), scores([0.77] * 10))
    assert found.deploy
    assert found.sentence == "deployed: +8.1 % over helper--v1 (0.712 → 0.770 on 10 prompts)"
    assert found.reasons == ()
    assert found.champion_quality == pytest.approx(0.712)
    assert found.candidate_quality == pytest.approx(0.77)
    assert found.gain == pytest.approx(0.77 / 0.712 - 1)


def test_too_little_gain_keeps_the_champion():
    found = verdict(scores([0.5] * 10), scores([0.51] * 10))
    assert not found.deploy
    assert found.sentence == "kept: gain 2.0 %, needs 5 %"


def test_a_gain_of_exactly_the_limit_deploys():
    assert verdict(scores([0.5] * 10), scores([0.525] * 10)).deploy


def test_a_gain_just_below_the_limit_does_not_look_like_the_limit():
    assert verdict(scores([0.5] * 10), scores([0.5249] * 10)).sentence == "kept: gain 4.98 %, needs 5 %"


def test_a_loss_is_shown_as_a_loss():
    assert (
        verdict(scores([0.5] * 10), scores([0.4] * 10), forgetting_tolerance=1).sentence
        == "kept: gain -20.0 %, needs 5 %"
    )


def test_a_hard_gate_outweighs_any_gain():
    found = verdict(
        scores([0.2] * 10), scores([0.9] * 10, broken={1: ("language",), 2: ("language",), 7: ("language",)})
    )
    assert not found.deploy
    assert found.sentence == "kept: language gate failed on 3 prompts"
    assert found.newly_broken == {"language": ("sample-1", "sample-2", "sample-7")}


def test_what_the_champion_breaks_as_well_is_no_reason_to_keep_it():
    old = scores([0.5] * 10, broken={1: ("repetition",), 2: ("language",)})
    assert verdict(old, scores([0.6] * 10, broken={1: ("repetition",)})).deploy
    other_gate = verdict(old, scores([0.6] * 10, broken={1: ("repetition", "meta_leak")}))
    assert other_gate.sentence == "kept: meta leak gate failed on 1 prompt"


@pytest.mark.parametrize(
    ("gate", "places", "deploys"),
    [
        ("repetition", [7], True),
        ("repetition", [7, 80], False),
        ("language", [7], True),
        ("forbidden_words", [7], False),
        ("meta_leak", [7], False),
        ("a_gate_of_tomorrow", [7, 8], False),
    ],
)
def test_one_stumble_in_a_hundred_is_tolerated_but_nothing_unpardonable(gate, places, deploys):
    new = scores([0.9] * 150, broken=dict.fromkeys(places, (gate,)))
    found = verdict(scores([0.5] * 150), new)
    assert found.deploy is deploys
    assert found.newly_broken == {gate: tuple(f"sample-{place}" for place in places)}


def test_forgetting_the_anchors_keeps_the_champion_whatever_the_new_prompts_gain():
    found = verdict(scores([0.5] * 10), scores([0.45] * 5 + [0.9] * 5))
    assert found.gain == pytest.approx(0.35)
    assert found.gain_by_group == {"anchor": pytest.approx(-0.1), "holdout": pytest.approx(0.8)}
    assert found.sentence == "kept: forgot 10.0 % on the anchors, 2 % allowed"


def test_a_small_loss_on_the_anchors_is_tolerated():
    assert verdict(scores([0.5] * 10), scores([0.495] * 5 + [0.9] * 5)).deploy


def test_all_reasons_stand_in_the_one_sentence():
    found = verdict(scores([0.5] * 10), scores([0.4] * 10, broken={0: ("repetition",)}))
    assert found.reasons == (
        "repetition gate failed on 1 prompt",
        "gain -20.0 %, needs 5 %",
        "forgot 20.0 % on the anchors, 2 % allowed",
    )
    assert found.sentence == "kept: " + "; ".join(found.reasons)


def test_the_verdict_carries_the_paired_differences_and_the_gain_by_kind():
    found = verdict(scores([0.5] * 10), scores([0.5, 0.75] * 5), forgetting_tolerance=1)
    assert found.differences == (0.0, 0.25) * 5
    assert found.gain_by_kind == {"allergy": pytest.approx(0.5), "menu": pytest.approx(0.0)}


GOOD = [0.9] * 10


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ([], [], "kept: the champion has no scores"),
        ([], scores(GOOD), "kept: the champion has no scores"),
        (scores(GOOD), [], "kept: the candidate has no scores"),
        (scores(GOOD), scores(GOOD)[:-1], "kept: champion and candidate were not scored on the same prompts"),
        (scores(GOOD), scores(GOOD)[::-1], "kept: champion and candidate were not scored on the same prompts"),
        (scores(GOOD, 5), scores(GOOD, 6), "kept: champion and candidate were not scored on the same prompts"),
        (scores(GOOD) * 2, scores(GOOD) * 2, "kept: a prompt was scored twice"),
        (scores(GOOD[:9]), scores(GOOD[:9]), "kept: 9 of 10 evaluation prompts"),
        (scores([0.1] * 10, 0), scores(GOOD, 0), "kept: no anchor prompts, so forgetting could not be seen"),
        (scores([0.0] * 10), scores(GOOD), "kept: the champion scored 0, so no relative gain can be measured"),
    ],
)
def test_anything_missing_keeps_the_champion(old, new, sentence):
    found = verdict(old, new)
    assert not found.deploy
    assert found.sentence == sentence
    assert found.gain is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), -0.1, 1.5])
@pytest.mark.parametrize("broken_side", ["champion", "candidate"])
def test_a_figure_that_is_no_share_keeps_the_champion(bad, broken_side):
    sound, broken = scores([0.5] * 10), scores([0.5] * 9 + [bad])
    found = verdict(broken, sound) if broken_side == "champion" else verdict(sound, broken)
    assert found.sentence == f"kept: the {broken_side}'s score is no number in 0…1 on 1 prompt"


def test_a_broken_part_counts_even_where_the_quality_looks_sound():
    new = scores([0.9] * 10)
    new[3] = new[3].model_copy(update={"parts": {"grounded": float("nan")}})
    assert not verdict(scores([0.5] * 10), new).deploy


def test_contenders_measured_by_other_parts_do_not_compare():
    new = [score.model_copy(update={"parts": {"style": 0.9}}) for score in scores(GOOD)]
    assert "not scored on the same prompts" in verdict(scores([0.5] * 10), new).sentence


def test_the_default_rules_ask_for_a_hundred_prompts():
    assert (
        decide(scores([0.5] * 99), scores([0.9] * 99), Evaluation(), CHAMPION).sentence
        == "kept: 99 of 100 evaluation prompts"
    )


def test_a_verdict_survives_being_stored():
    found = verdict(scores([0.5] * 10), scores([0.6] * 10, broken={1: ("language",)}))
    assert Verdict.model_validate_json(found.model_dump_json()) == found


QUALITIES = st.lists(st.floats(0.01, 1), min_size=10, max_size=30)


@given(QUALITIES, st.floats(0, 0.2))
def test_a_candidate_equal_to_the_champion_never_deploys(qualities, min_gain):
    assert not verdict(scores(qualities), scores(qualities), min_gain=min_gain).deploy


@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=10, max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_prompts_does_not_matter(pairs, shuffler: random.Random):
    old, new = scores([pair[0] for pair in pairs]), scores([pair[1] for pair in pairs])
    order = list(range(len(pairs)))
    shuffler.shuffle(order)
    again = verdict([old[place] for place in order], [new[place] for place in order])
    assert again.model_copy(update={"differences": ()}) == verdict(old, new).model_copy(update={"differences": ()})


@given(QUALITIES, QUALITIES)
def test_what_deploys_has_a_positive_gain_and_no_reason_against_it(before, after):
    size = min(len(before), len(after))
    found = verdict(scores(before[:size]), scores(after[:size]))
    assert found.deploy == (not found.reasons)
    assert found.sentence.startswith("deployed: +" if found.deploy else "kept: ")
    if found.deploy:
        assert found.gain is not None
        assert found.gain >= RULES.min_gain - 1e-9
