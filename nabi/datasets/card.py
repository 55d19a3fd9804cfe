"""What is in a dataset, counted: for machines as JSON, for people as Markdown.

No clock is read here: equal data give an equal card.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from nabi.conversations.records import Frozen, Moment
from nabi.datasets.advice import LENGTH_EDGES, WANTED_DIFFICULTY, Advice, Balance
from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.samples import Sample

NO_KIND = "(none)"

PREFERENCES_PART = "preferences"
"""The part that holds bad answers; a dataset without any has no such part."""


class Lengths(Frozen):
    """Lengths of texts in characters."""

    shortest: int
    median: float
    mean: float
    p95: int
    longest: int


class PartCard(Frozen):
    """One file of a dataset."""

    samples: int
    digest: str
    """sha256 of the file's bytes."""
    by_source: dict[str, int]
    by_kind: dict[str, int]
    question_chars: Lengths | None
    answer_chars: Lengths | None
    with_facts: int
    turns: float
    """Mean number of messages a sample."""
    first_at: Moment | None
    last_at: Moment | None
    corrected: int | None = Field(default=None, exclude_if=lambda num: num is None)
    """Bad answers with a better one; None for a part that holds no bad answers."""


class DatasetCard(Frozen):
    """One dataset of one persona."""

    persona_id: str
    digest: str
    num_logged: int
    """Kept conversations of the logs, in whatever part."""
    num_new: int
    num_bootstrap: int
    """Catalogue dialogues in train; anchors not counted."""
    shares: dict[str, float]
    """Of all samples: train, holdout, anchors; and bootstrap's share of train."""
    left_out: dict[str, int]
    """Samples in no part, by reason."""
    parts: dict[str, PartCard]
    balance: Balance | None = None
    """Train and holdout together; None when a deletion changed the dataset after it was made."""
    advice: tuple[Advice, ...] = ()


def describe_part(samples: Sequence[Sample], digest: str) -> PartCard:
    """Counts and lengths of the samples of one file."""
    moments = [sample.occurred_at for sample in samples]
    bad = [sample for sample in samples if isinstance(sample, BadAnswer)]
    return PartCard(
        samples=len(samples),
        digest=digest,
        by_source=_counted(sample.source for sample in samples),
        by_kind=_counted(sample.kind or NO_KIND for sample in samples),
        question_chars=measure_lengths(sample.question for sample in samples),
        answer_chars=measure_lengths(sample.answer for sample in samples),
        with_facts=sum(bool(sample.facts) for sample in samples),
        turns=round(statistics.fmean(len(sample.messages) for sample in samples), 3) if samples else 0.0,
        first_at=min(moments, default=None),
        last_at=max(moments, default=None),
        corrected=sum(answer.better is not None for answer in bad) if bad else None,
    )


def measure_lengths(texts: Iterable[str]) -> Lengths | None:
    """Lengths of the texts; None when there are none. `p95` is the nearest rank."""
    lengths = sorted(map(len, texts))
    if not lengths:
        return None
    return Lengths(
        shortest=lengths[0],
        median=statistics.median(lengths),
        mean=round(statistics.fmean(lengths), 2),
        p95=lengths[math.ceil(0.95 * len(lengths)) - 1],
        longest=lengths[-1],
    )


def render_card(card: DatasetCard) -> str:
    """The card as Markdown."""
    lines = [
        f"# Dataset of {card.persona_id}",
        "",
        f"Digest `{card.digest}`.",
        "",
        f"{card.num_logged:,} conversations of the logs, {card.num_new:,} of them new; "
        f"{card.num_bootstrap:,} catalogue dialogues in train ({card.shares['bootstrap']:.1%} of it).",
        "",
        *_table(
            ["part", "samples", "share", "with facts", "messages", "first", "last"],
            [
                [name, f"{p.samples:,}", f"{card.shares[name]:.1%}", f"{p.with_facts:,}", f"{p.turns:g}"]
                + [f"{moment:%Y-%m-%d %H:%M}" if moment else "–" for moment in (p.first_at, p.last_at)]
                for name, p in card.parts.items()
            ],
        ),
        "Times are UTC.",
        "",
        *_advice_lines(card.advice),
        *_balance_lines(card.balance),
        "## Lengths in characters",
        "",
        *_table(["part", "text", "shortest", "median", "mean", "95 %", "longest"], _length_rows(card.parts)),
        "## Sources",
        "",
        *_count_table("source", {name: part.by_source for name, part in card.parts.items()}),
        "## Kinds",
        "",
        *_count_table("kind", {name: part.by_kind for name, part in card.parts.items()}),
    ]
    if PREFERENCES_PART in card.parts:
        part = card.parts[PREFERENCES_PART]
        lines += [
            "## Bad answers",
            "",
            f"{part.samples:,} answers that must not be given again; {part.corrected or 0:,} have a better one.",
            "",
        ]
    if card.left_out:
        lines += ["## Left out", "", *_table(["reason", "samples"], [[k, f"{v:,}"] for k, v in card.left_out.items()])]
    return "\n".join(lines).rstrip("\n") + "\n"


def render_overview(cards: Iterable[DatasetCard]) -> str:
    """All personas' datasets on one page: their counts and their shares of everything."""
    ordered = sorted(cards, key=lambda card: card.persona_id)
    sizes = {card.persona_id: sum(part.samples for part in card.parts.values()) for card in ordered}
    total = max(1, sum(sizes.values()))
    rows = [
        [card.persona_id, f"{sizes[card.persona_id]:,}", f"{sizes[card.persona_id] / total:.1%}", *_part_counts(card)]
        for card in ordered
    ]
    heading = ["persona", "samples", "share", "train", "holdout", "anchors", "warnings"]
    return "\n".join(["# Datasets", "", *_table(heading, rows)]).rstrip("\n") + "\n"


def _part_counts(card: DatasetCard) -> list[str]:
    counts = [
        f"{card.parts[name].samples:,}" if name in card.parts else "0" for name in ("train", "holdout", "anchors")
    ]
    return [*counts, f"{sum(advice.level == 'warning' for advice in card.advice)}"]


def _advice_lines(advice: Sequence[Advice]) -> list[str]:
    if not advice:
        return []
    rows = [[item.level, item.subject, item.sentence] for item in advice]
    return ["## Advice", "", *_table(["level", "subject", "advice"], rows)]


def _balance_lines(balance: Balance | None) -> list[str]:
    if balance is None or not balance.samples:
        return []
    edges = [0, *LENGTH_EDGES]
    names = [f"{low:,}–{high - 1:,}" for low, high in zip(edges, LENGTH_EDGES, strict=False)] + [
        f"{LENGTH_EDGES[-1]:,}+"
    ]
    levels = [
        [level, f"{balance.difficulty[level]:,}", f"{balance.difficulty[level] / balance.samples:.0%}", f"{wanted:.0%}"]
        for level, wanted in WANTED_DIFFICULTY.items()
    ]
    lengths = zip(names, (f"{num:,}" for num in balance.answer_lengths), strict=True)
    tools = [[tool, f"{num:,}"] for tool, num in balance.tools.items()]
    return [
        "## Balance",
        "",
        *_table(["difficulty", "samples", "share", "wanted"], levels),
        *_table(["characters of the answer", "samples"], [list(row) for row in lengths]),
        *(_table(["tool", "samples"], tools) if tools else []),
    ]


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _length_rows(parts: Mapping[str, PartCard]) -> list[list[str]]:
    rows = []
    for name, part in parts.items():
        for text, lengths in (("question", part.question_chars), ("answer", part.answer_chars)):
            if lengths:
                rows.append([name, text, *(f"{value:g}" for value in lengths.model_dump().values())])
    return rows


def _count_table(heading: str, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    names = sorted({name for part in counts.values() for name in part})
    return _table(
        [heading, *counts], [[name, *(f"{part.get(name, 0):,}" for part in counts.values())] for name in names]
    )


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table and the blank line after it."""
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *escaped]] + [""]
