"""How much error a gate may risk, so that many gates together risk no more than a persona allows.

A persona is gated up to four times a day. At 5 % error a gate, an equal candidate would be deployed by luck nearly
every week. So the gates of any seven days share one budget. The k-th gate within seven days gets `budget / (k · H)`,
where H is the sum of 1/j over the gates that fit into seven days.

Whatever seven days are picked, the j-th gate in them has at least j gates in its own last seven days (itself
included), so the levels in them add up to at most the budget, by the union bound and without assuming independence.
Source of the idea: alpha spending, Lan and DeMets, Biometrika 70 (1983).
"""

from __future__ import annotations

DAYS = 7
"""The days that share one budget."""


def most_gates(trainings_per_day: int) -> int:
    """Gates that fit into seven times 24 hours: these touch eight days of the calendar that caps trainings."""
    return (DAYS + 1) * trainings_per_day


def level_of_gate(budget: float, number: int, most: int) -> float:
    """One-sided error of the `number`-th gate (from 1) in seven days; 0 above `most`, which nothing passes."""
    if number > most:
        return 0.0
    return budget / (number * sum(1 / place for place in range(1, most + 1)))
