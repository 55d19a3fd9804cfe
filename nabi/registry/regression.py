"""Is what answers now worse than what answered before? A test that may be asked after every answer.

Every measure becomes a yes or no of one answer: it broke a rule, it was disliked, it was slower than nearly all before,
it was shorter or longer than nearly all before. Against the rate of the reference, widened to what that rate may really
be, a mixture of likelihood ratios is kept; while things are not worse its expectation stays below 1 however often one
looks (Ville's inequality), so that a value of 1/alpha is met by chance in at most a share alpha of all versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

ALPHA = 0.01
"""False alarms over a version's whole life, all measures together, of one comparison."""

SLOW = "unusually slow"

MIN_REFERENCE = 50
"""Answers of before without which nothing is compared."""

MIN_RECENT = 30
"""Answers of now without which nothing is decided."""

MARGIN = 0.02
"""A rate may be worse by so much before it counts: two points in a hundred are nobody's regression."""

_UNUSUAL = 0.05
"""Share of the reference beyond each of its limits of length and time."""

_NUM_MEASURES = 4
_STEPS = 400

_Z = 1.645
"""One-sided 95 % for what the reference's rate may really be (Wilson's bound)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One answer, as far as a comparison looks at it. `reaction` None: the user said nothing."""

    num_chars: int
    seconds: float
    broke_a_rule: bool
    reaction: float | None = None


@dataclass(frozen=True, slots=True)
class Regression:
    """A measure that got worse, with the rates before and now."""

    measure: str
    before: float
    now: float
    num: int

    def __str__(self) -> str:
        return f"{self.measure}: {self.now:.0%} of {self.num} answers, {self.before:.0%} before"


def find_regression(
    reference: Sequence[Measured], recent: Sequence[Measured], *, leaving_out: str | None = None
) -> Regression | None:
    """The worst measure that is certainly worse in `recent` than in `reference`; None when none is, or too early.

    Args:
        leaving_out: a measure that is not looked at.
    """
    if len(reference) < MIN_REFERENCE or len(recent) < MIN_RECENT:
        return None
    found = [
        (evidence, Regression(name, _rate(before), _rate(now), len(now)))
        for name, before, now in _measures(reference, recent)
        if name != leaving_out
        and len(before) >= MIN_REFERENCE
        and len(now) >= MIN_RECENT
        and (evidence := log_evidence(sum(now), len(now), _ceiling(sum(before), len(before)) + MARGIN))
        >= math.log(_NUM_MEASURES / ALPHA)
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def surely_not_worse(
    reference: Sequence[Measured], recent: Sequence[Measured], margin: float, *, first_look: int
) -> int | None:
    """After how many answers it was sure that no rate is worse by more than `margin`; None while it is not.

    It is looked at after `first_look` answers, after twice as many, and so on, each time with half of the error that
    is left of 5 %: asking more often than answers come in changes nothing, so that a worse version does not slip
    through by being looked at often.

    Args:
        recent: oldest first.
    """
    level, num = 0.05, first_look
    while num <= len(recent):
        level /= 2
        if not may_be_worse(reference, recent[:num], margin, level):
            return num
        num *= 2
    return None


def may_be_worse(
    reference: Sequence[Measured], recent: Sequence[Measured], margin: float, level: float
) -> list[Regression]:
    """The measures whose rate now may lie more than `margin` above the rate before; empty: none does.

    Each is wrong with a chance of at most `level`, by Newcombe's interval for a difference of rates (Statistics in
    Medicine 17, 1998, method 10). Reactions are few: dislikes are not looked at before `MIN_RECENT` people said
    something about both versions.
    """
    z = NormalDist().inv_cdf(1 - level)
    open_measures = []
    for name, before, now in _measures(reference, recent):
        if name == "disliked" and min(len(before), len(now)) < MIN_RECENT:
            continue
        if not before or not now or _most_worse(sum(before), len(before), sum(now), len(now), z) > margin:
            open_measures.append(Regression(name, _rate(before), _rate(now), len(now)))
    return open_measures


def _most_worse(bad_before: int, num_before: int, bad_now: int, num_now: int, z: float) -> float:
    """Upper end of the interval of rate now - rate before."""
    before, now = bad_before / num_before, bad_now / num_now
    above = _ceiling(bad_now, num_now, z) - now
    below = _ceiling(num_before - bad_before, num_before, z) - (1 - before)
    return now - before + math.hypot(above, below)


def log_evidence(num_bad: int, num: int, ceiling: float) -> float:
    """Log of how much better rates above `ceiling`, all alike, explain what was seen than `ceiling` does."""
    if ceiling >= 1:
        return -math.inf
    import numpy as np

    rates = ceiling + (1 - ceiling) * (np.arange(_STEPS) + 0.5) / _STEPS
    ratios = num_bad * np.log(rates / ceiling) + (num - num_bad) * np.log((1 - rates) / (1 - ceiling))
    top = float(ratios.max())
    return top + math.log(float(np.exp(ratios - top).mean()))


def _measures(reference: Sequence[Measured], recent: Sequence[Measured]) -> list[tuple[str, list[bool], list[bool]]]:
    """Name, and the yes or no of each answer before and now."""
    seconds = sorted(one.seconds for one in reference)
    chars = sorted(one.num_chars for one in reference)
    slow = _at(seconds, 1 - _UNUSUAL)
    short, long = _at(chars, _UNUSUAL), _at(chars, 1 - _UNUSUAL)

    # None where an answer says nothing about it.
    bad: dict[str, Callable[[Measured], bool | None]] = {
        "rules broken": lambda one: one.broke_a_rule,
        "disliked": lambda one: None if one.reaction is None else one.reaction < 0,
        SLOW: lambda one: one.seconds > slow,
        "unusually short or long": lambda one: not short <= one.num_chars <= long,
    }

    def marks(is_bad: Callable[[Measured], bool | None], answers: Sequence[Measured]) -> list[bool]:
        return [mark for one in answers if (mark := is_bad(one)) is not None]

    return [(name, marks(is_bad, reference), marks(is_bad, recent)) for name, is_bad in bad.items()]


def _ceiling(num_bad: int, num: int, z: float = _Z) -> float:
    """What the rate behind these may be at most, with the one-sided certainty of `z` (Wilson)."""
    share, z2 = num_bad / num, z**2
    middle = share + z2 / (2 * num)
    spread = z * math.sqrt(share * (1 - share) / num + z2 / (4 * num**2))
    return (middle + spread) / (1 + z2 / num)


def _rate(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks) if marks else 0.0


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
