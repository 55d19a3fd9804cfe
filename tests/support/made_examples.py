"""How many examples Hypothesis makes up for a test, and whether they are new ones each time.

A check of a change must not fail for what was there before it: the examples are the same each time. `NABI_EXAMPLES=20`
looks for new ones, twenty times as many.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("NABI_EXAMPLES", "1"))

# A test that is slow because another runs beside it is not wrong.
settings.register_profile(
    "nabi",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=100 * TIMES,
    derandomize=TIMES == 1,
    database=None,
)
settings.load_profile("nabi")


def examples(number: int) -> settings:
    """That many instead of a hundred, for tests whose examples take long or are short of variety."""
    return settings(max_examples=number * TIMES)
