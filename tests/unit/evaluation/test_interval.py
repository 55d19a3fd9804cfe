"""How sure a gain is: intervals that cover, bounds that hold, and the size that a gain needs."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nabi.evaluation.interval import detectable_gain, prompts_needed, relative_gain
from nabi.evaluation.spending import level_of_gate, most_gates


def test_a_gain_that_is_the_same_everywhere_has_no_width():
    gain = relative_gain([0.5] * 10, [0.55] * 10, 0.01)
    assert (gain.estimate, gain.lower, gain.upper, gain.bound) == pytest.approx((0.1, 0.1, 0.1, 0.1))


def test_prompts_on_which_both_swing_together_say_more_than_unpaired_ones():
    rng = np.random.default_rng(3)
    old = rng.uniform(0.2, 0.9, 60)
    paired = relative_gain(old, old * 1.1, 0.01)
    unpaired = relative_gain(old, rng.permutation(old * 1.1), 0.01)
    assert paired.standard_error < unpaired.standard_error / 10


def test_the_same_pairs_in_another_order_give_the_same_figures():
    rng = np.random.default_rng(4)
    old, new, order = rng.random(30), rng.random(30), rng.permutation(30)
    assert relative_gain(old, new, 0.01) == relative_gain(old[order], new[order], 0.01)


def test_a_smaller_error_asks_for_a_lower_bound_and_none_for_one_that_nothing_clears():
    rng = np.random.default_rng(5)
    old = rng.random(50)
    bounds = [relative_gain(old, old + 0.1 * rng.random(50), level).bound for level in (0.05, 0.01, 0.001)]
    assert bounds == sorted(bounds, reverse=True)
    assert relative_gain(old, old, 0).bound == -inf


def test_resamples_in_which_the_champion_has_nothing_prove_no_gain():
    gain = relative_gain([0.0] * 9 + [0.5], [0.9] * 10, 0.01)
    assert np.isfinite([gain.lower, gain.upper, gain.bound]).all()


def test_the_interval_covers_the_true_gain_as_often_as_it_says():
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(100):
        old = rng.beta(8, 2, 100)
        gain = relative_gain(old, old * rng.normal(1.0, 0.1, 100), 0.01)
        covered += gain.lower <= 0 <= gain.upper
    assert 0.9 <= covered / 100 <= 0.99  # 95 % and some two standard errors


def test_a_set_of_the_size_that_a_gain_needs_can_see_it():
    deviation, level = 0.3, 0.001
    size = prompts_needed(deviation, 0.1, level, min_gain=0.05, certain_gain=0.0)
    seen = detectable_gain(deviation / size**0.5, size, level, min_gain=0.05, certain_gain=0.0)
    assert seen == pytest.approx(0.1, rel=0.05)


def test_a_gain_that_is_not_asked_for_needs_no_size():
    with pytest.raises(ValueError, match="never let through"):
        prompts_needed(0.3, 0.05, 0.01, min_gain=0.05, certain_gain=0.0)


def test_a_gate_without_error_left_sees_nothing():
    assert detectable_gain(0.01, 100, 0.0, min_gain=0.05, certain_gain=0.0) == inf


@given(st.lists(st.floats(0, 30), min_size=1, max_size=120), st.integers(1, 6))
def test_whatever_seven_days_are_picked_their_gates_share_the_budget(days, per_day):
    """Gates at any times, each counted as the journal does; the dearest seven days stay within the budget."""
    times, most = sorted(days), most_gates(per_day)
    levels = [
        level_of_gate(0.025, sum(t - 7 < other <= t for other in times[: i + 1]), most) for i, t in enumerate(times)
    ]
    dearest = max(sum(lev for other, lev in zip(times, levels, strict=True) if t - 7 < other <= t) for t in times)
    assert dearest <= 0.025 + 1e-12
