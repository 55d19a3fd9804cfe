"""The decision: does the candidate replace the champion? Pure, and closed whenever something is missing or broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from pydantic import Field

from nabi.conversations.records import Frozen
from nabi.evaluation.hard_gates import HARD_GATES, TOLERATED_SHARE, UNPARDONABLE
from nabi.evaluation.score import PromptScore, group_means, mean_quality
from nabi.personas.model import Evaluation

_ROUNDING = 1e-9
"""What floating-point sums may be off by: 0.50 → 0.525 is a gain of 5 %, not of 4.999999999 %."""


class Verdict(Frozen):
    """What the gate decided and on what grounds.

    Attributes:
        sentence: the decision for a person, with its figures.
        reasons: why not, each a clause of the sentence; empty when it deploys.
        gain: relative gain of mean quality, 0.08 for 8 %; None when it could not be measured.
        differences: candidate's quality minus champion's, a prompt each, in the order of the prompts. A decision that
            weighs chance works on these.
        newly_broken: the prompts (sample ids) that the candidate breaks and the champion does not, by hard gate.
        gain_by_group, gain_by_kind: relative gains of the parts of the set; left out where the champion has 0.
    """

    deploy: bool
    sentence: str
    reasons: tuple[str, ...] = ()
    champion_name: str
    num_prompts: int = 0
    champion_quality: float | None = None
    candidate_quality: float | None = None
    gain: float | None = None
    gain_by_group: dict[str, float] = Field(default_factory=dict)
    gain_by_kind: dict[str, float] = Field(default_factory=dict)
    differences: tuple[float, ...] = ()
    newly_broken: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def decide(
    champion: Sequence[PromptScore], candidate: Sequence[PromptScore], rules: Evaluation, champion_name: str
) -> Verdict:
    """Deploy only when the candidate is measured to be better by enough, and worse in nothing grave.

    It deploys when all of this holds: both were scored on the same prompts in the same order, at least
    `rules.min_prompts` of them and some of them anchors; all figures are finite and in [0, 1]; mean quality gains at
    least `rules.min_gain`, relatively, and more than nothing; no hard gate fails; the anchors lose at most
    `rules.forgetting_tolerance`, relatively. Otherwise it keeps the champion and says why. It never raises.

    Args:
        champion: scores of the live adapter from this very run; of the base model when none is live.
        champion_name: its name for the sentence.
    """
    flaw = _flaw(champion, candidate, rules)
    if flaw is not None:
        return Verdict(deploy=False, sentence=f"kept: {flaw}", reasons=(flaw,), champion_name=champion_name)
    measured = _measure(champion, candidate, champion_name)
    reasons = (
        *_failed_hard_gates(measured.newly_broken, measured.num_prompts),
        *_too_little_gain(measured.gain, rules),
        *_forgotten(measured.gain_by_group, rules),
    )
    sentence = f"kept: {'; '.join(reasons)}" if reasons else _deployed(measured)
    return measured.model_copy(update={"deploy": not reasons, "reasons": reasons, "sentence": sentence})


def _flaw(champion: Sequence[PromptScore], candidate: Sequence[PromptScore], rules: Evaluation) -> str | None:
    """Why the two cannot be compared at all; None when they can. Later checks rely on the earlier ones."""
    return (
        _unpaired(champion, candidate)
        or _too_thin(champion, rules)
        or _unsound("champion", champion)
        or _unsound("candidate", candidate)
        or (None if mean_quality(champion) > 0 else "the champion scored 0, so no relative gain can be measured")
    )


def _unpaired(champion: Sequence[PromptScore], candidate: Sequence[PromptScore]) -> str | None:
    if not champion or not candidate:
        return f"the {'candidate' if champion else 'champion'} has no scores"
    if [_identity(score) for score in champion] != [_identity(score) for score in candidate]:
        return "champion and candidate were not scored on the same prompts"
    if len({score.sample_id for score in champion}) != len(champion):
        return "a prompt was scored twice"
    return None


def _too_thin(scores: Sequence[PromptScore], rules: Evaluation) -> str | None:
    if len(scores) < rules.min_prompts:
        return f"{len(scores)} of {rules.min_prompts} evaluation prompts"
    if not any(score.group == "anchor" for score in scores):
        return "no anchor prompts, so forgetting could not be seen"
    return None


def _unsound(name: str, scores: Sequence[PromptScore]) -> str | None:
    num_unsound = sum(not _is_sound(score) for score in scores)
    return f"the {name}'s score is no number in 0…1 on {_prompts(num_unsound)}" if num_unsound else None


def _prompts(count: int) -> str:
    return f"{count} prompt" if count == 1 else f"{count} prompts"


def _identity(score: PromptScore) -> tuple[str, str, str, tuple[str, ...]]:
    return score.sample_id, score.group, score.kind, tuple(sorted(score.parts))


def _is_sound(score: PromptScore) -> bool:
    return all(isfinite(value) and 0 <= value <= 1 + _ROUNDING for value in (score.quality, *score.parts.values()))


def _measure(champion: Sequence[PromptScore], candidate: Sequence[PromptScore], champion_name: str) -> Verdict:
    """All figures of the comparison; `decide` fills in the decision."""
    old, new = mean_quality(champion), mean_quality(candidate)
    return Verdict(
        deploy=False,
        sentence="",
        champion_name=champion_name,
        num_prompts=len(champion),
        champion_quality=old,
        candidate_quality=new,
        gain=new / old - 1,
        gain_by_group=_gains(group_means(champion, _group), group_means(candidate, _group)),
        gain_by_kind=_gains(group_means(champion, _kind), group_means(candidate, _kind)),
        differences=tuple(after.quality - before.quality for before, after in zip(champion, candidate, strict=True)),
        newly_broken=_newly_broken(champion, candidate),
    )


def _group(score: PromptScore) -> str:
    return score.group


def _kind(score: PromptScore) -> str:
    return score.kind


def _gains(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    return {name: new[name] / quality - 1 for name, quality in old.items() if quality > 0}


def _newly_broken(champion: Sequence[PromptScore], candidate: Sequence[PromptScore]) -> dict[str, tuple[str, ...]]:
    """Sample ids by hard gate, gates in their usual order and unknown ones after them."""
    found: dict[str, list[str]] = {}
    for before, after in zip(champion, candidate, strict=True):
        for gate in set(after.broken) - set(before.broken):
            found.setdefault(gate, []).append(after.sample_id)
    usual = list(HARD_GATES)
    order = sorted(found, key=lambda gate: (usual.index(gate) if gate in usual else len(usual), gate))
    return {gate: tuple(found[gate]) for gate in order}


def _failed_hard_gates(newly_broken: Mapping[str, Sequence[str]], num_prompts: int) -> list[str]:
    """A hard gate counts the prompts that the candidate breaks and the champion does not.

    What the champion breaks as well is no reason to keep it. The unpardonable fails at the first prompt, the rest above
    the tolerated share of the prompts.
    """
    return [
        f"{gate.replace('_', ' ')} gate failed on {_prompts(len(ids))}"
        for gate, ids in newly_broken.items()
        if gate in UNPARDONABLE or len(ids) > TOLERATED_SHARE * num_prompts
    ]


def _too_little_gain(gain: float | None, rules: Evaluation) -> list[str]:
    """An equal candidate never deploys, not even where no gain is asked for."""
    if gain is not None and gain > _ROUNDING and gain + _ROUNDING >= rules.min_gain:
        return []
    needed = f"{rules.min_gain * 100:g} %" if rules.min_gain else "more than 0 %"
    return [f"gain {_percent(gain or 0.0, rules.min_gain)}, needs {needed}"]


def _forgotten(gain_by_group: Mapping[str, float], rules: Evaluation) -> list[str]:
    lost = -gain_by_group.get("anchor", 0.0)
    if lost <= rules.forgetting_tolerance + _ROUNDING:
        return []
    allowed = rules.forgetting_tolerance
    return [f"forgot {_percent(lost, allowed)} on the anchors, {allowed * 100:g} % allowed"]


def _percent(value: float, limit: float) -> str:
    """One decimal, or as many more as keep a figure from looking like the limit that it misses: 4.96 %, not 5.0 %."""
    shown = [f"{value * 100:.{decimals}f}" for decimals in range(1, 8)]
    clear = (text for text in shown if float(text) != round(limit * 100, 7))
    return f"{next(clear, shown[0])} %"


def _deployed(measured: Verdict) -> str:
    return (
        f"deployed: {(measured.gain or 0.0) * 100:+.1f} % over {measured.champion_name} "
        f"({measured.champion_quality:.3f} → {measured.candidate_quality:.3f} on {measured.num_prompts} prompts)"
    )
