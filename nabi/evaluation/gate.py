"""The decision: does the candidate replace the champion? Pure, and closed whenever something is missing or broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, nan
from typing import TypeVar

from pydantic import ConfigDict, Field

from nabi.conversations.records import Frozen
from nabi.evaluation.hard_gates import HARD_GATES
from nabi.evaluation.interval import Gain, detectable_gain, relative_gain
from nabi.evaluation.prompts import MEASURED_GROUPS
from nabi.evaluation.score import PromptScore, group_means, mean_quality
from nabi.evaluation.spending import DAYS, level_of_gate
from nabi.personas.model import Evaluation

_ROUNDING = 1e-9
"""What floating-point sums may be off by: 0.50 → 0.525 is a gain of 5 %, not of 4.999999999 %."""

_Row = TypeVar("_Row")

OLDER_LEVEL = 0.05
"""One-sided error of the bound on what an older set lost: a false "nothing was lost" once in twenty."""


class ProbeAnswer(Frozen):
    """What a contender said to a prompt that only hard gates look at, and the gates that it fails there."""

    probe_id: str
    asked: str
    answer: str
    broken: tuple[str, ...] = ()


class Contender(Frozen):
    """All that was measured of one contender in this run.

    Attributes:
        scores: on the evaluation prompts, in their order.
        probes: on the prompts of the hard gates, in their order.
        flaws: hard gates that look at all answers together and failed, each with its reason.
    """

    name: str
    scores: tuple[PromptScore, ...]
    probes: tuple[ProbeAnswer, ...] = ()
    flaws: dict[str, str] = Field(default_factory=dict)


class Luck(Frozen):
    """How often the persona was gated in the last `nabi.evaluation.spending.DAYS` days.

    Attributes:
        gate: number of this gate among them, from 1.
        most: how many there can be.
    """

    gate: int = Field(default=1, ge=1)
    most: int = Field(default=1, ge=1)


class Kept(Frozen):
    """What became of one older evaluation set: relative gain on it, and what it is at least."""

    num_prompts: int
    gain: float
    bound: float


class Verdict(Frozen):
    """What the gate decided and on what grounds.

    Attributes:
        sentence: the decision for a person, with its figures.
        reasons: why not, each a clause of the sentence; empty when it deploys.
        num_prompts: those that the gain is measured on: anchors and fresh holdout.
        gain: relative gain of mean quality, 0.08 for 8 %; None when it could not be measured.
        lower, upper: its 95 % interval.
        bound: what the gain is at least, at the error `level` of this gate.
        detectable: the true gain that this gate on these prompts would let through nine times in ten.
        older: by older set: anchors, and the holdout that each earlier deployment was measured on.
        differences: candidate's quality minus champion's, a prompt each, in the order of the prompts.
        newly_broken: the prompts (sample or probe ids) that the candidate breaks and the champion does not, by gate.
        new_flaws: hard gates over all answers that the candidate fails and the champion does not, with the reason.
        gain_by_group, gain_by_kind: relative gains of the parts of the set; left out where the champion has 0.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    deploy: bool
    sentence: str
    reasons: tuple[str, ...] = ()
    champion_name: str
    candidate_name: str
    num_prompts: int = 0
    champion_quality: float | None = None
    candidate_quality: float | None = None
    gain: float | None = None
    lower: float | None = None
    upper: float | None = None
    bound: float | None = None
    detectable: float | None = None
    gate: int = 1
    level: float = 0.0
    older: dict[str, Kept] = Field(default_factory=dict)
    gain_by_group: dict[str, float] = Field(default_factory=dict)
    gain_by_kind: dict[str, float] = Field(default_factory=dict)
    differences: tuple[float, ...] = ()
    newly_broken: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    new_flaws: dict[str, str] = Field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """The verdict's numbers under names that are the same for every adapter of every persona."""
        named = {
            "gate/gain": self.gain,
            "gate/lower": self.lower,
            "gate/upper": self.upper,
            "gate/bound": self.bound,
            "gate/detectable": self.detectable,
            "gate/champion_quality": self.champion_quality,
            "gate/candidate_quality": self.candidate_quality,
            "gate/looks": float(self.gate),
            "gate/level": self.level,
            "gate/prompts": float(self.num_prompts),
            "gate/newly_broken": float(sum(map(len, self.newly_broken.values())) + len(self.new_flaws)),
            **{f"gate/older/{name}/gain": kept.gain for name, kept in self.older.items()},
            **{f"gate/older/{name}/bound": kept.bound for name, kept in self.older.items()},
        }
        return {name: value for name, value in named.items() if value is not None and isfinite(value)}


def decide(champion: Contender, candidate: Contender, rules: Evaluation, luck: Luck | None = None) -> Verdict:
    """Deploy only when the candidate is surely better by enough, and worse in nothing grave.

    It deploys when all of this holds: both were scored on the same prompts in the same order, at least
    `rules.min_prompts` of them fresh or anchors and some of them anchors; all figures are finite and in [0, 1]; mean
    quality gains at least `rules.min_gain`, relatively; what it gains at least, at the error that is left to this gate,
    is above `rules.certain_gain`; no hard gate fails; on the anchors and on the set of every
    earlier deployment it loses at most `rules.forgetting_tolerance` as measured, and at most `rules.forgetting_margin`
    with 95 % certainty. Otherwise it keeps the champion and says why. It never raises.

    Args:
        champion: the live adapter in this very run; the base model when none is live.
        luck: how often the persona was gated lately; None for a single gate that has the whole budget.
    """
    luck = luck or Luck()
    flaw = _flaw(champion, candidate, rules)
    if flaw is not None:
        return Verdict(
            deploy=False,
            sentence=f"kept: {flaw}",
            reasons=(flaw,),
            champion_name=champion.name,
            candidate_name=candidate.name,
            gate=luck.gate,
        )
    measured = _measure(champion, candidate, rules, luck)
    reasons = (
        *_failed_hard_gates(measured),
        *_too_little_gain(measured, rules),
        *_forgotten(measured.older, rules),
    )
    sentence = f"kept: {'; '.join(reasons)}" if reasons else _deployed(measured)
    return measured.model_copy(update={"deploy": not reasons, "reasons": reasons, "sentence": sentence})


def _flaw(champion: Contender, candidate: Contender, rules: Evaluation) -> str | None:
    """Why the two cannot be compared at all; None when they can. Later checks rely on the earlier ones."""
    return (
        _unpaired(champion.scores, candidate.scores)
        or _unequal_probes(champion.probes, candidate.probes)
        or _too_thin(champion.scores, rules)
        or _unsound("champion", champion.scores)
        or _unsound("candidate", candidate.scores)
        or _without_quality(champion.scores)
    )


def _unpaired(champion: Sequence[PromptScore], candidate: Sequence[PromptScore]) -> str | None:
    if not champion or not candidate:
        return f"the {'candidate' if champion else 'champion'} has no scores"
    if [_identity(score) for score in champion] != [_identity(score) for score in candidate]:
        return "champion and candidate were not scored on the same prompts"
    if len({score.sample_id for score in champion}) != len(champion):
        return "a prompt was scored twice"
    return None


def _unequal_probes(champion: Sequence[ProbeAnswer], candidate: Sequence[ProbeAnswer]) -> str | None:
    same = [probe.probe_id for probe in champion] == [probe.probe_id for probe in candidate]
    return None if same else "champion and candidate did not answer the same prompts of the hard gates"


def _too_thin(scores: Sequence[PromptScore], rules: Evaluation) -> str | None:
    num_measured = len(measured_scores(scores))
    if num_measured < rules.min_prompts:
        return f"{num_measured} of {rules.min_prompts} evaluation prompts"
    if not any(score.group == "anchor" for score in scores):
        return "no anchor prompts, so forgetting could not be seen"
    return None


def _unsound(name: str, scores: Sequence[PromptScore]) -> str | None:
    num_unsound = sum(not _is_sound(score) for score in scores)
    return f"the {name}'s score is no number in 0…1 on {_prompts(num_unsound)}" if num_unsound else None


def _without_quality(champion: Sequence[PromptScore]) -> str | None:
    has_some = mean_quality(measured_scores(champion)) > 0
    return None if has_some else "the champion scored 0, so no relative gain can be measured"


def measured_scores(scores: Sequence[PromptScore]) -> list[PromptScore]:
    """Those that the gain is measured on. The older sets beside them only tell what was forgotten."""
    return [score for score in scores if score.group in MEASURED_GROUPS]


def _prompts(count: int) -> str:
    return f"{count} prompt" if count == 1 else f"{count} prompts"


def _identity(score: PromptScore) -> tuple[str, str, str, tuple[str, ...]]:
    return score.sample_id, score.group, score.kind, tuple(sorted(score.parts))


def _is_sound(score: PromptScore) -> bool:
    return all(isfinite(value) and 0 <= value <= 1 + _ROUNDING for value in (score.quality, *score.parts.values()))


def _measure(champion: Contender, candidate: Contender, rules: Evaluation, luck: Luck) -> Verdict:
    """All figures of the comparison; `decide` fills in the decision."""
    old, new = measured_scores(champion.scores), measured_scores(candidate.scores)
    level = level_of_gate(rules.false_deploys_a_week, luck.gate, luck.most)
    gain = _gain(old, new, level)
    return Verdict(
        deploy=False,
        sentence="",
        champion_name=champion.name,
        candidate_name=candidate.name,
        num_prompts=len(old),
        champion_quality=mean_quality(old),
        candidate_quality=mean_quality(new),
        gain=gain.estimate,
        lower=gain.lower,
        upper=gain.upper,
        bound=gain.bound,
        detectable=detectable_gain(
            gain.standard_error, len(old), level, min_gain=rules.min_gain, certain_gain=rules.certain_gain
        ),
        gate=luck.gate,
        level=level,
        older=_older(champion.scores, candidate.scores),
        gain_by_group=_gains(group_means(champion.scores, _group), group_means(candidate.scores, _group)),
        gain_by_kind=_gains(group_means(old, _kind), group_means(new, _kind)),
        differences=tuple(after.quality - before.quality for before, after in zip(old, new, strict=True)),
        newly_broken=_newly_broken(champion, candidate),
        new_flaws={name: why for name, why in candidate.flaws.items() if name not in champion.flaws},
    )


def _gain(old: Sequence[PromptScore], new: Sequence[PromptScore], level: float) -> Gain:
    return relative_gain([score.quality for score in old], [score.quality for score in new], level)


def _older(champion: Sequence[PromptScore], candidate: Sequence[PromptScore]) -> dict[str, Kept]:
    """Every set but the fresh one. A set that cannot be weighed (one prompt, or a champion without quality) is nan."""
    found = {}
    for name in dict.fromkeys(score.group for score in champion if score.group != "holdout"):
        old = [score for score in champion if score.group == name]
        new = [score for score in candidate if score.group == name]
        if len(old) < 2 or mean_quality(old) <= 0:
            found[name] = Kept(num_prompts=len(old), gain=nan, bound=nan)
            continue
        gain = _gain(old, new, OLDER_LEVEL)
        found[name] = Kept(num_prompts=len(old), gain=gain.estimate, bound=gain.bound)
    return found


def _pairs(champion: Sequence[_Row], candidate: Sequence[_Row]) -> Iterator[tuple[_Row, _Row]]:
    return zip(champion, candidate, strict=True)


def _group(score: PromptScore) -> str:
    return score.group


def _kind(score: PromptScore) -> str:
    return score.kind


def _gains(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    return {name: new[name] / quality - 1 for name, quality in old.items() if quality > 0}


def _newly_broken(champion: Contender, candidate: Contender) -> dict[str, tuple[str, ...]]:
    """Ids by hard gate, gates in their usual order and unknown ones after them."""
    found: dict[str, list[str]] = {}
    scores = [(new.sample_id, old.broken, new.broken) for old, new in _pairs(champion.scores, candidate.scores)]
    probes = [(new.probe_id, old.broken, new.broken) for old, new in _pairs(champion.probes, candidate.probes)]
    for name, before, after in (*scores, *probes):
        for gate in set(after) - set(before):
            found.setdefault(gate, []).append(name)
    usual = list(HARD_GATES)
    order = sorted(found, key=lambda gate: (usual.index(gate) if gate in usual else len(usual), gate))
    return {gate: tuple(found[gate]) for gate in order}


def _failed_hard_gates(measured: Verdict) -> list[str]:
    """One prompt that the candidate breaks and the champion does not is one too many, whichever gate it fails.

    What the champion breaks as well is no reason to keep it.
    """
    broken = {gate: f" on {_prompts(len(ids))}" for gate, ids in measured.newly_broken.items()}
    flaws = {gate: f": {why}" for gate, why in measured.new_flaws.items()}
    return [f"{gate.replace('_', ' ')} gate failed{told}" for gate, told in (*broken.items(), *flaws.items())]


def _too_little_gain(measured: Verdict, rules: Evaluation) -> list[str]:
    """An equal candidate never deploys, not even where no gain is asked for; nor one whose gain may be luck."""
    gain, bound = measured.gain or 0.0, measured.bound
    if gain <= _ROUNDING or gain + _ROUNDING < rules.min_gain:
        needed = f"{rules.min_gain * 100:g} %" if rules.min_gain else "more than 0 %"
        return [f"gain {_percent(gain, rules.min_gain)}, needs {needed}"]
    if bound is not None and bound > rules.certain_gain:
        return []
    if not measured.level:
        return [f"gated {measured.gate} times in {DAYS} days, more often than luck can be ruled out"]
    return [
        f"gain {_percent(gain, rules.min_gain)} may be luck: at least {_percent(bound or 0.0, rules.certain_gain)} "
        f"at gate {measured.gate} of {DAYS} days, needs more than {rules.certain_gain * 100:g} %"
    ]


def _forgotten(older: Mapping[str, Kept], rules: Evaluation) -> list[str]:
    """The sets on which more is lost than may be; a set that could not be weighed counts as lost."""
    reasons = []
    for name, kept in older.items():
        where = "the anchors" if name == "anchor" else f"the set of {name}"
        if not (isfinite(kept.gain) and isfinite(kept.bound)):
            reasons.append(f"what was kept on {where} could not be measured")
        elif -kept.gain > rules.forgetting_tolerance + _ROUNDING:
            allowed = rules.forgetting_tolerance
            reasons.append(f"forgot {_percent(-kept.gain, allowed)} on {where}, {allowed * 100:g} % allowed")
        elif -kept.bound > rules.forgetting_margin + _ROUNDING:
            allowed = rules.forgetting_margin
            reasons.append(
                f"may have forgotten {_percent(-kept.bound, allowed)} on {where}, {allowed * 100:g} % allowed"
            )
    return reasons


def _percent(value: float, limit: float) -> str:
    """One decimal, or as many more as keep a figure from looking like the limit that it misses: 4.96 %, not 5.0 %."""
    shown = [f"{value * 100:.{decimals}f}" for decimals in range(1, 8)]
    clear = (text for text in shown if float(text) != round(limit * 100, 7))
    return f"{next(clear, shown[0])} %"


def _deployed(measured: Verdict) -> str:
    gain, lower, upper = (100 * (value or 0.0) for value in (measured.gain, measured.lower, measured.upper))
    return (
        f"deployed {measured.candidate_name.rsplit('--')[-1]} ({gain:+.1f} %, 95 % interval {lower:.1f}…{upper:.1f}) "
        f"over {measured.champion_name}: {measured.champion_quality:.3f} → {measured.candidate_quality:.3f} "
        f"on {measured.num_prompts} prompts"
    )
