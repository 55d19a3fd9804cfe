"""Hard gates that look at all answers of a contender together: whose voice they are in, and how long one takes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Protocol

FOREIGN_SHARE = 0.01
"""Share of a persona's own answers that read like another's: how the style model sets its margins."""

FOREIGN_LEVEL = 0.001
"""Chance that a voice that is its own fails: once in a thousand evaluations."""


class VoiceModel(Protocol):
    """What tells one persona's answers from another's (`nabi.curation.style_model`)."""

    def reads_like(self, answer: str, persona_id: str) -> str | None: ...


def foreign_style(model: VoiceModel | None, persona_id: str, answers: Sequence[str]) -> str | None:
    """Why the answers are another persona's; None when they are not, or when there is nobody to compare with.

    One answer in a hundred reads like somebody else's by chance, so that the number of them is weighed (binomial).
    """
    from scipy.stats import binom

    if model is None or not answers:
        return None
    rivals = [rival for answer in answers if (rival := model.reads_like(answer, persona_id))]
    if binom.sf(len(rivals) - 1, len(answers), FOREIGN_SHARE) >= FOREIGN_LEVEL:
        return None
    most = max(sorted(set(rivals)), key=rivals.count)
    return f"{len(rivals)} of {len(answers)} answers read like another persona's, most like {most}"


def too_slow(seconds: Sequence[float], limit: float) -> str | None:
    """Why the answers come too late; None when half of them are there within `limit` seconds.

    Args:
        seconds: of answers asked for one by one, each with the swap to its adapter.
    """
    middle = median(seconds)
    return f"{middle:.1f} s for one answer with the swap, {limit:g} s allowed" if middle > limit else None
