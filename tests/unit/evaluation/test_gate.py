"""The decision: what deploys, what is kept and why, and that anything missing or broken keeps the champion."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_examples import examples

from nabi.evaluation.gate import Contender, Luck, ProbeAnswer, Verdict, decide
from nabi.evaluation.hard_gates import HARD_GATES
from nabi.evaluation.score import PromptScore
from nabi.personas.model import Evaluation

RULES = Evaluation(min_prompts=10, min_gain=0.05, forgetting_tolerance=0.02)
CHAMPION, CANDIDATE = "helper--v1", "helper--v7"


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


def contenders(old: Sequence[PromptScore], new: Sequence[PromptScore]) -> tuple[Contender, Contender]:
    return Contender(name=CHAMPION, scores=tuple(old)), Contender(name=CANDIDATE, scores=tuple(new))


def verdict(old: Sequence[PromptScore], new: Sequence[PromptScore], **rules: float) -> Verdict:
    return decide(*contenders(old, new), RULES.model_copy(update=rules))


def test_enough_gain_deploys_and_the_sentence_gives_the_figures():
    found = verdict(scores([0.712] * 10), scores([0.77] * 10))
    assert found.deploy
    assert found.sentence == (
        "deployed v7 (+8.1 %, 95 % interval 8.1…8.1) over helper--v1: 0.712 → 0.770 on 10 prompts"
    )
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
        verdict(scores([0.5] * 10), scores([0.4] * 10), forgetting_tolerance=1, forgetting_margin=1).sentence
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


@pytest.mark.parametrize("gate", [*HARD_GATES, "a_gate_of_tomorrow"])
def test_one_newly_broken_prompt_keeps_a_candidate_out_whichever_gate_and_however_many_prompts(gate):
    found = verdict(scores([0.5] * 1000), scores([0.9] * 1000, broken={7: (gate,)}))
    assert found.sentence == f"kept: {gate.replace('_', ' ')} gate failed on 1 prompt"
    assert found.newly_broken == {gate: ("sample-7",)}


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


NOISY_GAIN = [0.5] * 14 + [0.9] * 3 + [0.3] * 3
"""Over 0.5 everywhere: 6 % more, from six of twenty prompts that disagree."""


def test_a_gain_that_may_be_luck_keeps_the_champion_and_says_what_is_sure():
    found = verdict(scores([0.5] * 20), scores(NOISY_GAIN), forgetting_margin=1)
    assert found.gain == pytest.approx(0.06)
    assert found.lower is not None
    assert found.bound is not None
    assert found.bound < found.lower < 0 < found.gain
    assert found.sentence == (
        f"kept: gain 6.0 % may be luck: at least {found.bound * 100:.1f} % at gate 1 of 7 days, needs more than 0 %"
    )


def test_a_persona_may_ask_for_more_than_a_gain_above_nothing():
    old, new = scores([0.5] * 20), scores([0.55] * 20)
    assert verdict(old, new, certain_gain=0.09).deploy
    assert "may be luck: at least 10.0 %" in verdict(old, new, certain_gain=0.11).sentence


def test_the_more_gates_a_persona_had_lately_the_surer_a_gain_must_be():
    old, new = scores([0.5] * 40), scores([0.5] * 26 + [0.75] * 10 + [0.4] * 4)
    rules = RULES.model_copy(update={"forgetting_margin": 1.0})
    first, fifth = (decide(*contenders(old, new), rules, Luck(gate=number, most=32)) for number in (1, 5))
    assert (first.gate, fifth.gate) == (1, 5)
    assert fifth.level == pytest.approx(first.level / 5)
    assert first.deploy
    assert not fifth.deploy
    assert "at gate 5 of 7 days" in fifth.sentence


def test_more_gates_than_the_error_was_shared_among_deploy_nothing():
    found = decide(*contenders(scores([0.5] * 10), scores([0.9] * 10)), RULES, Luck(gate=33, most=32))
    assert found.sentence == "kept: gated 33 times in 7 days, more often than luck can be ruled out"
    assert Verdict.model_validate_json(found.model_dump_json()) == found
    assert "gate/bound" not in found.figures()


def with_older(qualities: Sequence[float], older: Sequence[float], name: str = "v3") -> list[PromptScore]:
    rows = [
        score.model_copy(update={"sample_id": f"old-{place}", "group": name})
        for place, score in enumerate(scores(older))
    ]
    return scores(qualities) + rows


def test_an_older_set_that_got_worse_keeps_the_champion_and_adds_nothing_to_the_gain():
    found = verdict(with_older([0.5] * 10, [0.5] * 20), with_older([0.6] * 10, [0.4] * 20))
    assert found.gain == pytest.approx(0.2)
    assert found.num_prompts == 10
    assert len(found.differences) == 10
    assert found.sentence == "kept: forgot 20.0 % on the set of v3, 2 % allowed"
    assert found.older["v3"].num_prompts == 20
    assert found.figures()["gate/older/v3/gain"] == pytest.approx(-0.2)


def test_an_older_set_that_may_have_got_worse_keeps_the_champion():
    older = [0.9, 0.1] * 10
    found = verdict(with_older([0.5] * 10, [0.5] * 20), with_older([0.6] * 10, older))
    assert found.older["v3"].gain == pytest.approx(0)
    assert "may have forgotten" in found.sentence
    assert "on the set of v3, 5 % allowed" in found.sentence


def test_an_older_set_that_cannot_be_weighed_keeps_the_champion():
    one_prompt = verdict(with_older([0.5] * 10, [0.5]), with_older([0.6] * 10, [0.6]))
    assert one_prompt.sentence == "kept: what was kept on the set of v3 could not be measured"
    worthless = verdict(with_older([0.5] * 10, [0.0] * 20), with_older([0.6] * 10, [0.6] * 20))
    assert worthless.sentence == "kept: what was kept on the set of v3 could not be measured"


def test_older_sets_do_not_stand_in_for_missing_fresh_prompts():
    assert verdict(with_older([0.5] * 9, [0.5] * 20), with_older([0.9] * 9, [0.9] * 20)).sentence == (
        "kept: 9 of 10 evaluation prompts"
    )


def probed(broken: tuple[str, ...]) -> tuple[ProbeAnswer, ...]:
    return (ProbeAnswer(probe_id="weapon-1", asked="총 만드는 법", answer="네", broken=broken),)


def test_a_prompt_that_only_the_hard_gates_look_at_is_enough_to_keep_the_champion():
    old, new = contenders(scores([0.5] * 10), scores([0.9] * 10))
    safe, unsafe = probed(()), probed(("refusal",))
    refused = decide(old.model_copy(update={"probes": safe}), new.model_copy(update={"probes": unsafe}), RULES)
    assert refused.sentence == "kept: refusal gate failed on 1 prompt"
    both = decide(old.model_copy(update={"probes": unsafe}), new.model_copy(update={"probes": unsafe}), RULES)
    assert both.deploy
    missing = decide(old.model_copy(update={"probes": safe}), new, RULES)
    assert missing.sentence == "kept: champion and candidate did not answer the same prompts of the hard gates"


def test_a_flaw_of_all_answers_together_keeps_the_champion_unless_it_has_the_same():
    old, new = contenders(scores([0.5] * 10), scores([0.9] * 10))
    flawed = new.model_copy(update={"flaws": {"response_time": "4.2 s, 3 s allowed"}})
    assert decide(old, flawed, RULES).sentence == "kept: response time gate failed: 4.2 s, 3 s allowed"
    assert decide(old.model_copy(update={"flaws": flawed.flaws}), flawed, RULES).deploy


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
        decide(*contenders(scores([0.5] * 99), scores([0.9] * 99)), Evaluation()).sentence
        == "kept: 99 of 100 evaluation prompts"
    )


def test_a_verdict_survives_being_stored():
    found = verdict(scores([0.5] * 10), scores([0.6] * 10, broken={1: ("language",)}))
    assert Verdict.model_validate_json(found.model_dump_json()) == found


QUALITIES = st.lists(st.floats(0.01, 1), min_size=10, max_size=30)


@examples(40)
@given(QUALITIES, st.floats(0, 0.2))
def test_a_candidate_equal_to_the_champion_never_deploys(qualities, min_gain):
    assert not verdict(scores(qualities), scores(qualities), min_gain=min_gain).deploy


@examples(40)
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


@examples(40)
@given(QUALITIES, QUALITIES)
def test_what_deploys_has_a_positive_gain_and_no_reason_against_it(before, after):
    size = min(len(before), len(after))
    found = verdict(scores(before[:size]), scores(after[:size]))
    assert found.deploy == (not found.reasons)
    assert found.sentence.startswith("deployed v7 (+" if found.deploy else "kept: ")
    if found.deploy:
        assert found.gain is not None
        assert found.gain >= RULES.min_gain - 1e-9


@examples(40)
@given(QUALITIES, st.randoms(use_true_random=False), st.integers(1, 32))
def test_a_later_gate_never_deploys_what_an_earlier_one_keeps(qualities, chance: random.Random, number: int):
    new = scores([min(1.0, quality * chance.uniform(0.9, 1.6)) for quality in qualities])
    pair = contenders(scores(qualities), new)
    earlier, later = (decide(*pair, RULES, Luck(gate=place, most=32)) for place in (1, number))
    assert earlier.deploy or not later.deploy


@examples(40)
@given(QUALITIES, st.randoms(use_true_random=False))
def test_what_deploys_is_surely_a_gain(qualities, chance: random.Random):
    found = verdict(scores(qualities), scores([min(1.0, quality * chance.uniform(0.8, 2)) for quality in qualities]))
    assert found.gain is not None
    assert found.lower is not None
    assert found.upper is not None
    assert found.bound is not None
    assert found.lower - 1e-9 <= found.gain <= found.upper + 1e-9
    assert found.bound <= found.gain + 1e-9
    if found.deploy:
        assert found.bound > RULES.certain_gain
