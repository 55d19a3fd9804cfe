"""What a judge said of two contenders: figures only, no word of an answer."""

from __future__ import annotations

from nabi.conversations.records import Frozen


class Opinion(Frozen):
    """What a judge said to all pairs.

    Attributes:
        num_prompts: those on which both orders were answered.
        num_ties: of these, without a preference; `num_contradicted` of them because the word turned with the sides.
        share: of the decided ones, for the candidate; None without any. `lower`, `upper`: its 95 % interval.
        problem: why its word is missing or worth nothing; None when it is whole.
        agreed, kappa: how often people who were asked the same decided alike, up to now, and Cohen's kappa of it; None
            where there are no such votes. `num_shared`: on how many decided votes that rests.
    """

    model: str
    num_prompts: int
    num_ties: int
    num_contradicted: int
    share: float | None
    lower: float
    upper: float
    problem: str | None = None
    num_shared: int = 0
    agreed: float | None = None
    kappa: float | None = None

    def figures(self) -> dict[str, float]:
        """Under the names that MLflow shows."""
        named = {
            "judge/prompts": float(self.num_prompts),
            "judge/ties": float(self.num_ties),
            "judge/contradicted": float(self.num_contradicted),
            "judge/share": self.share,
            "judge/lower": None if self.share is None else self.lower,
            "judge/upper": None if self.share is None else self.upper,
        }
        return {name: value for name, value in named.items() if value is not None}
