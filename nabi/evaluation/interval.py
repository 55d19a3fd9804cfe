"""How sure a paired relative gain is: its interval, and the bound that a decision may lean on.

The gain is a ratio of means over the same prompts, so it is resampled prompt by prompt, both contenders together.
Sources: Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), ch. 13 (percentile interval); Fieller,
"Some problems in interval estimation", JRSS B 16 (1954) (the t bound of a ratio of means); docs/gate.md has the
simulations that chose between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

SEED = 20260701
_NUM_RESAMPLES = 10_000
"""Always as many, so that a smaller error never gives a higher bound."""
_CELLS_AT_ONCE = 2_000_000
"""Resampled prompts in one block (16 MB)."""

Qualities = NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """A relative gain, 0.08 for 8 %.

    Attributes:
        lower, upper: its 95 % interval (paired percentile bootstrap), for people.
        bound: what it is at least, at the error level that was asked for: the lower one of the bootstrap's and the t
            bound. Alone, the bootstrap is too sure of itself on few prompts, the t bound on skewed differences.
        standard_error: of the gain.
    """

    estimate: float
    lower: float
    upper: float
    bound: float
    standard_error: float


def relative_gain(old: Sequence[float], new: Sequence[float], level: float) -> Gain:
    """The gain of `new` over `old`, pairs in any order: the same pairs give the same figures.

    Args:
        old, new: qualities of the same prompts, at least two; the mean of `old` is above 0.
        level: one-sided error in (0, 0.5) of `bound`; 0 gives a bound that nothing clears.
    """
    pairs = np.array(sorted(zip(old, new, strict=True)), dtype=np.float64)
    before, after = pairs[:, 0], pairs[:, 1]
    estimate = float(after.mean() / before.mean() - 1)
    error = _standard_error(before, after, estimate)
    resampled = _resampled_gains(pairs)
    lower, upper = (float(value) for value in np.quantile(resampled, (0.025, 0.975)))
    bound = -inf if level <= 0 else _bound(estimate, error, len(pairs), resampled, level)
    return Gain(estimate, lower, upper, bound, error)


def detectable_gain(error: float, num_prompts: int, level: float, *, min_gain: float, certain_gain: float) -> float:
    """The true gain that a gate on such prompts lets through nine times in ten.

    Args:
        error: standard error of the gain, as measured.
        level: one-sided error of the bound that must clear `certain_gain`.
    """
    if level <= 0 or not isfinite(error):
        return inf
    luck = _t(0.9, num_prompts) * error
    return max(min_gain, certain_gain + _t(1 - level, num_prompts) * error) + luck


def prompts_needed(deviation: float, gain: float, level: float, *, min_gain: float, certain_gain: float) -> int:
    """How many prompts let a true `gain` through nine times in ten; it must lie above `min_gain`.

    Args:
        deviation: standard deviation of the paired differences over the champion's mean quality: what the standard
            error is times the square root of the number of prompts.
    """
    from scipy.stats import norm

    reach = min((gain - min_gain) / norm.ppf(0.9), (gain - certain_gain) / (norm.ppf(0.9) + norm.ppf(1 - level)))
    if reach <= 0:
        raise ValueError(f"a gain of {gain:g} is never let through where {min_gain:g} is asked for")
    num: int = ceil((deviation / reach) ** 2)
    return num


def _standard_error(before: Qualities, after: Qualities, estimate: float) -> float:
    residuals = after - (1 + estimate) * before
    return float(residuals.std(ddof=1) / sqrt(len(residuals)) / before.mean())


def _resampled_gains(pairs: Qualities) -> Qualities:
    size = len(pairs)
    rows = max(1, _CELLS_AT_ONCE // size)
    gains = []
    for block, start in enumerate(range(0, _NUM_RESAMPLES, rows)):
        before, after = (_weights(size, min(rows, _NUM_RESAMPLES - start), block) @ pairs).T
        # Only prompts on which the champion has nothing: whatever the candidate has there proves no gain.
        gains.append(np.divide(after, before, out=np.ones_like(before), where=before > 0) - 1)
    return np.concatenate(gains)


@lru_cache(maxsize=4)
def _weights(size: int, rows: int, block: int) -> Qualities:
    """How often each of `size` prompts is drawn in each resample (rows × size), as shares. Kept: the same draws serve
    every gate of that size."""
    drawn = np.random.default_rng((SEED, block)).integers(0, size, (rows, size))
    cells = drawn + np.arange(rows)[:, None] * size
    return np.bincount(cells.ravel(), minlength=rows * size).reshape(rows, size) / size


def _bound(estimate: float, error: float, size: int, resampled: Qualities, level: float) -> float:
    return min(float(np.quantile(resampled, level)), estimate - _t(1 - level, size) * error)


def _t(probability: float, size: int) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, size - 1))
