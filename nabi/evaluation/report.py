"""One gate on one page: the sentence, quality by part and kind, the greatest wins and the greatest losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from nabi.evaluation.gate import Verdict, measured_scores
from nabi.evaluation.score import PARTS, PromptScore, group_means, mean_quality
from nabi.evaluation.spending import DAYS

_SHOWN = 10
"""Prompts in each list of wins and losses."""


def gate_report(
    verdict: Verdict,
    scores: Mapping[str, Sequence[PromptScore]],
    opponent: str,
    candidate: str,
    questions: Mapping[str, str],
) -> str:
    """Markdown for people who ask why; also of a gate that stayed closed for want of scores.

    Args:
        scores: by contender, on the same prompts in the same order.
        opponent: the contender that the candidate was compared with.
        questions: what was asked, by sample id.
    """
    measured = {name: measured_scores(rows) for name, rows in scores.items()}
    sections = [
        f"# {candidate} against {opponent}",
        verdict.sentence,
        _certainty(verdict),
        _table("part", _by_part(measured)),
        _table("kind", {name: group_means(rows, lambda row: row.kind) for name, rows in measured.items()}),
        _table("group", {name: group_means(rows, lambda row: row.group) for name, rows in scores.items()}),
        _older(verdict),
        _hard_gates(verdict, questions),
        *_extremes(scores[opponent], scores[candidate], questions),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _certainty(verdict: Verdict) -> str:
    """How sure the gain is, and which gain this set could have seen."""
    if verdict.gain is None or verdict.detectable is None:
        return ""
    return (
        f"Gain {_share(verdict.gain)}, 95 % interval {_share(verdict.lower)} to {_share(verdict.upper)}; surely at "
        f"least {_share(verdict.bound)} at the error of this gate (number {verdict.gate} of {DAYS} days, "
        f"{verdict.level * 100:.3g} %). On these {verdict.num_prompts} prompts a true gain of "
        f"{_share(verdict.detectable)} would deploy nine times in ten."
    )


def _older(verdict: Verdict) -> str:
    """What was kept on each older set."""
    lines = ["| older set | prompts | gain | at least (95 %) |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {kept.num_prompts} | {_share(kept.gain)} | {_share(kept.bound)} |"
        for name, kept in verdict.older.items()
    ]
    return "\n".join(lines) if verdict.older else ""


def _share(value: float | None) -> str:
    return "–" if value is None or not isfinite(value) else f"{value * 100:+.1f} %"


def _by_part(scores: Mapping[str, Sequence[PromptScore]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "quality": mean_quality(rows),
            **{part: sum(row.parts[part] for row in rows) / len(rows) for part in PARTS if part in rows[0].parts},
        }
        if rows
        else {}
        for name, rows in scores.items()
    }


def _table(heading: str, columns: Mapping[str, Mapping[str, float]]) -> str:
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    lines = [f"| {heading} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    lines += [
        f"| {label} | {' | '.join(_figure(column.get(label)) for column in columns.values())} |" for label in labels
    ]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _hard_gates(verdict: Verdict, questions: Mapping[str, str]) -> str:
    if not verdict.newly_broken:
        return "No hard gate is newly broken."
    lines = ["## Hard gates that the candidate breaks and the opponent does not"]
    for gate, sample_ids in verdict.newly_broken.items():
        lines += [f"- {gate}: {_one_line(questions.get(sample_id, sample_id))}" for sample_id in sample_ids]
    return "\n".join(lines)


def _extremes(
    opponent: Sequence[PromptScore], candidate: Sequence[PromptScore], questions: Mapping[str, str]
) -> list[str]:
    """The prompts with the largest gains, then those with the largest losses."""
    if [row.sample_id for row in opponent] != [row.sample_id for row in candidate]:
        return ["The contenders were not scored on the same prompts."]
    pairs = sorted(zip(opponent, candidate, strict=True), key=lambda pair: pair[1].quality - pair[0].quality)
    wins = [pair for pair in reversed(pairs) if pair[1].quality > pair[0].quality][:_SHOWN]
    losses = [pair for pair in pairs if pair[1].quality < pair[0].quality][:_SHOWN]
    return [
        _pairs("## Where the candidate wins most", wins, questions),
        _pairs("## Where the candidate loses most", losses, questions),
    ]


def _pairs(heading: str, pairs: Sequence[tuple[PromptScore, PromptScore]], questions: Mapping[str, str]) -> str:
    if not pairs:
        return f"{heading}\n\nNowhere."
    lines = [heading, "", "| question | before | after | change |", "|---|---|---|---|"]
    for before, after in pairs:
        question = _one_line(questions.get(before.sample_id, before.sample_id))
        change = after.quality - before.quality
        lines.append(f"| {question} | {_one_line(before.answer)} | {_one_line(after.answer)} | {change:+.2f} |")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Text as one table cell."""
    return " ".join(text.split()).replace("|", "\\|")
