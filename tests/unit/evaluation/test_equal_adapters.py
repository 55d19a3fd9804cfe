"""Two equal adapters, gated again and again: luck deploys no more of them than the persona allows in a week."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from nabi.evaluation.gate import Contender, Luck, decide
from nabi.evaluation.score import PromptScore
from nabi.evaluation.spending import most_gates
from nabi.personas.model import Evaluation

SEEDS, GATES, PROMPTS = 20, 8, 100
RULES = Evaluation(forgetting_tolerance=1, forgetting_margin=1)
"""Without the rule on older sets, which only ever adds reasons to keep: what is looked at is the gain alone."""


def contender(name: str, qualities: np.ndarray) -> Contender:
    scores = tuple(
        PromptScore(
            sample_id=str(place),
            group="anchor" if place < PROMPTS // 2 else "holdout",
            kind="menu",
            answer="그래요",
            parts={"grounded": quality},
            quality=quality,
        )
        for place, quality in enumerate(qualities.tolist())
    )
    return Contender(name=name, scores=scores)


def test_equal_adapters_are_deployed_no_oftener_than_the_weekly_error_allows():
    lucky = by_means = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        hardness = rng.beta(8, 2, (GATES, PROMPTS))
        # Each of the two slips by itself, on other prompts: equal on average, and far apart on many a prompt.
        old, new = (np.where(rng.random((GATES, PROMPTS)) < 0.25, 0.2 * hardness, hardness) for _ in range(2))
        verdicts = [
            decide(contender("p--v1", old[k]), contender("p--v2", new[k]), RULES, Luck(gate=k + 1, most=most_gates(4)))
            for k in range(GATES)
        ]
        lucky += any(verdict.deploy for verdict in verdicts)
        by_means += any(new[k].mean() >= 1.05 * old[k].mean() for k in range(GATES))
    assert lucky <= binom.ppf(0.999, SEEDS, RULES.false_deploys_a_week)
    assert by_means >= SEEDS / 2  # comparing two averages would have deployed by luck in most of these weeks
