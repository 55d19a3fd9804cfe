"""One gate on one page: the sentence, quality by part and kind, the greatest wins and the greatest losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from nabi.evaluation.gate import Contender, Verdict, measured_scores
from nabi.evaluation.hard_gates import HARD_GATES
from nabi.evaluation.opinion import Opinion
from nabi.evaluation.score import PARTS, PromptScore, group_means, mean_quality
from nabi.evaluation.spending import DAYS

_SHOWN = 10
"""Prompts in each list of wins and losses."""


def gate_report(
    verdict: Verdict,
    contenders: Mapping[str, Contender],
    questions: Mapping[str, str],
    pictures: Sequence[str] = ("comparison.png", "gain.png"),
    opinion: Opinion | None = None,
) -> str:
    """Markdown for people who ask why; also of a gate that stayed closed for want of scores.

    Args:
        contenders: by name, those of the verdict among them, on the same prompts in the same order.
        questions: what was asked, by sample id.
        pictures: file names beside the report.
        opinion: what a judge thinks of the two.
    """
    champion, candidate = contenders[verdict.champion_name], contenders[verdict.candidate_name]
    scores = {name: contender.scores for name, contender in contenders.items()}
    measured = {name: measured_scores(rows) for name, rows in scores.items()}
    asked = {**questions, **{probe.probe_id: probe.asked for probe in candidate.probes}}
    sections = [
        f"# {candidate.name} against {champion.name}",
        verdict.sentence,
        _certainty(verdict),
        *(f"![{name.removesuffix('.png')}]({name})" for name in pictures if verdict.gain is not None),
        _table("part", _by_part(measured)),
        _table("kind", {name: group_means(rows, lambda row: row.kind) for name, rows in measured.items()}),
        _table("group", {name: group_means(rows, lambda row: row.group) for name, rows in scores.items()}),
        _older(verdict),
        _hard_gates(verdict, champion, candidate, asked),
        _judge(opinion) if opinion else "",
        *_extremes(champion.scores, candidate.scores, questions),
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


def _hard_gates(verdict: Verdict, champion: Contender, candidate: Contender, asked: Mapping[str, str]) -> str:
    """How many prompts each contender breaks a gate on, then every newly broken one with what was said."""
    lines = ["## Hard gates", "", f"| gate | {champion.name} | {candidate.name} | newly broken |", "|---|---|---|---|"]
    seen = {gate for contender in (champion, candidate) for broken in _broken(contender).values() for gate in broken}
    for gate in dict.fromkeys([*HARD_GATES, *sorted(seen)]):
        before, after = (sum(gate in broken for broken in _broken(who).values()) for who in (champion, candidate))
        lines.append(f"| {gate.replace('_', ' ')} | {before} | {after} | {len(verdict.newly_broken.get(gate, ()))} |")
    for gate, why in candidate.flaws.items():
        lines.append(f"| {gate.replace('_', ' ')} | {champion.flaws.get(gate, 'passed')} | {_one_line(why)} | – |")
    said = {score.sample_id: score.answer for score in candidate.scores}
    said |= {probe.probe_id: probe.answer for probe in candidate.probes}
    broken = [
        f"- {gate.replace('_', ' ')}: {_one_line(asked.get(name, name))} → {_one_line(said[name])}"
        for gate, names in verdict.newly_broken.items()
        for name in names
    ]
    return "\n".join([*lines, "", *(broken or ["No hard gate is newly broken on any prompt."])])


def _broken(contender: Contender) -> dict[str, tuple[str, ...]]:
    scores = {score.sample_id: score.broken for score in contender.scores}
    return scores | {probe.probe_id: probe.broken for probe in contender.probes}


def _judge(opinion: Opinion) -> str:
    """What the judge said, and how far people who were asked the same agree with it."""
    lines = ["## Judge", "", f"{opinion.model} compared {opinion.num_prompts} pairs, each in both orders."]
    if opinion.share is not None:
        decided = opinion.num_prompts - opinion.num_ties
        lines[-1] += (
            f" It prefers the candidate in {opinion.share:.0%} of {decided} decided ones, 95 % interval "
            f"{opinion.lower * 100:.0f} to {opinion.upper * 100:.0f} %; {opinion.num_ties} ties, "
            f"{opinion.num_contradicted} of them because its word turned with the sides."
        )
    if opinion.problem:
        lines += ["", f"Its word is not to be relied on: {opinion.problem}."]
    if opinion.agreed is None:
        lines += ["", "No person has decided on anything that it decided on yet, so nobody knows whether it is right."]
    else:
        kappa = "" if opinion.kappa is None else f" (Cohen's kappa {opinion.kappa:.2f})"
        lines += ["", f"People decided as it did in {opinion.agreed:.0%} of {opinion.num_shared} votes so far{kappa}."]
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
