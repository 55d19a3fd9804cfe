"""What people prefer, blind: which prompts they see, on which side the candidate stands, and what their votes say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nabi.conversations.records import Frozen, Moment
from nabi.datasets.split import place_of
from nabi.evaluation.gate import Contender
from nabi.personas.model import People

Choice = Literal["old", "new", "tie"]
Side = Literal["left", "right", "tie"]

LEAST, MOST = 20, 50
"""Prompts of one blind set (requirement C10)."""


class Vote(Frozen):
    """What one person said to one prompt; it holds no word of either answer."""

    sample_id: str
    who: str
    choice: Choice
    at: Moment


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, sides shuffled."""

    sample_id: str
    left: str
    right: str
    new_is_left: bool

    def choice_of(self, side: Side) -> Choice:
        """Whom a vote for a side is for."""
        if side == "tie":
            return "tie"
        return "new" if (side == "left") == self.new_is_left else "old"


@dataclass(frozen=True)
class Preference:
    """How many decided votes are for the new one.

    Attributes:
        share: of the decided votes, ties left out; None without any.
        lower, upper: its 95 % interval (Wilson, JASA 22, 1927).
    """

    num_votes: int
    num_ties: int
    share: float | None
    lower: float
    upper: float

    def figures(self) -> dict[str, float]:
        """Under the names that MLflow shows."""
        shares = {} if self.share is None else {"ab/share": self.share, "ab/lower": self.lower, "ab/upper": self.upper}
        return {"ab/votes": float(self.num_votes), "ab/ties": float(self.num_ties), **shares}


def blind_pairs(old: Contender, new: Contender, num: int) -> list[Pair]:
    """A blind set: prompts on which the two say something different, always the same ones in the same order.

    Sides follow from the prompt and the two names, so that nobody who votes can know them and everybody sees the same.

    Args:
        num: as many prompts at most; fewer when fewer answers differ.
    """
    salt = f"ab {old.name} {new.name}"
    pairs = [
        (before, after) for before, after in zip(old.scores, new.scores, strict=True) if before.answer != after.answer
    ]
    chosen = sorted(pairs, key=lambda pair: place_of(pair[1].sample_id, salt))[:num]
    made = []
    for before, after in chosen:
        new_is_left = place_of(after.sample_id, f"{salt} side") % 2 == 0
        left, right = (after, before) if new_is_left else (before, after)
        made.append(Pair(after.sample_id, left.answer, right.answer, new_is_left))
    return made


def last_votes(votes: Iterable[Vote]) -> dict[tuple[str, str], Choice]:
    """By person and sample, what counts."""
    return {(vote.who, vote.sample_id): vote.choice for vote in sorted(votes, key=lambda vote: vote.at)}


def preference(votes: Sequence[Vote]) -> Preference:
    """What the votes say; a person's later vote on a prompt replaces the earlier one."""
    from scipy.stats import binomtest

    choices = list(last_votes(votes).values())
    decided = len(choices) - choices.count("tie")
    if not decided:
        return Preference(len(choices), len(choices), None, 0.0, 1.0)
    interval = binomtest(choices.count("new"), decided).proportion_ci(0.95, method="wilson")
    share = choices.count("new") / decided
    return Preference(len(choices), choices.count("tie"), share, float(interval.low), float(interval.high))


def votes_needed(num_pairs: int, rules: People) -> int:
    """How many votes decide: two people who answer half of the set each count as one who answers all of it."""
    return min(rules.votes, num_pairs)


def objection(found: Preference, rules: People) -> str | None:
    """Why enough votes keep a candidate out; None when they let it go live.

    Nothing but ties lets it: people see no difference where the gate measured one.
    """
    if found.share is None or found.share >= rules.least_share:
        return None
    decided = found.num_votes - found.num_ties
    return f"{found.share:.0%} of {decided} people's votes are for it, needs {rules.least_share:.0%}"
