"""A picture of one evaluation: quality by part and by kind of question, the contenders side by side.

Labels are English: the picture is made on servers that have no Korean font.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from nabi.errors import DataError
from nabi.evaluation.gate import Verdict
from nabi.evaluation.score import PARTS, PromptScore, group_means, mean_quality

_COLOURS = ("#b8bec9", "#7aa6d8", "#e0802f", "#5b8c5a", "#8e6bb0")
_LEAST_WIDTH, _WIDTH_A_KIND = 8.0, 1.0  # inches


def save_comparison_plot(path: Path, contenders: Mapping[str, Sequence[PromptScore]], title: str) -> None:
    """Writes a PNG of quality and its parts (above) and of quality by kind of question (below).

    Args:
        contenders: scores on the same prompts by name, in the order in which they are drawn.

    Raises:
        DataError: there is nothing to draw.
    """
    # Figure and not pyplot, whose state all threads of a process share. It draws without a screen.
    from matplotlib.figure import Figure

    if not contenders or not all(contenders.values()):
        raise DataError("a contender without scores cannot be drawn.", where=str(path), fix="Score it first.")
    by_part = {name: _part_means(scores) for name, scores in contenders.items()}
    by_kind = {name: group_means(scores, lambda score: score.kind) for name, scores in contenders.items()}
    first = next(iter(contenders.values()))
    width = max(_LEAST_WIDTH, _WIDTH_A_KIND * len(next(iter(by_kind.values()))))
    figure = Figure(figsize=(width, 7.2), layout="constrained")
    above, below = figure.subplots(2, 1)
    _draw_bars(above, by_part, "Quality and its parts")
    _draw_bars(below, by_kind, "Quality by kind of question", Counter(score.kind for score in first))
    figure.suptitle(f"{title} · {len(first)} prompts", fontsize=13, fontweight="bold")
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=len(contenders), frameon=False)
    figure.savefig(path, dpi=130)


def save_gain_plot(path: Path, verdict: Verdict) -> None:
    """Writes a PNG of the gain, whole and by group and kind: the whole with its 95 % interval, older sets with what was
    surely kept, and the lines that they had to clear. Without a measured gain it says so."""
    from matplotlib.figure import Figure

    rows = _gain_rows(verdict)
    figure = Figure(figsize=(_LEAST_WIDTH, 1.6 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, (_label, gain, low, high) in enumerate(rows):
        axes.plot([low, high], [place, place], color=_COLOURS[1], linewidth=3, solid_capstyle="butt")
        axes.plot([gain], [place], "o", color=_COLOURS[2])
    axes.axvline(0, color="#555", linewidth=1)
    axes.set_yticks(range(len(rows)), [_readable(label, place) for place, (label, *_) in enumerate(rows)], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("relative gain, %")
    axes.set_title(f"{verdict.candidate_name} over {verdict.champion_name}", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    if not rows:
        axes.set_title("no gain could be measured", loc="left", fontsize=11)
    figure.savefig(path, dpi=130)


def _gain_rows(verdict: Verdict) -> list[tuple[str, float, float, float]]:
    """Label, gain, and the ends of its line, in percent; what cannot be told is left out."""
    if verdict.gain is None or verdict.lower is None or verdict.upper is None:
        return []
    whole = [("all, 95 %", verdict.gain, verdict.lower, verdict.upper)]
    older = [(f"{name}, at least", kept.gain, kept.bound, kept.gain) for name, kept in verdict.older.items()]
    kinds = [(kind, gain, gain, gain) for kind, gain in verdict.gain_by_kind.items()]
    rows = [row for row in (*whole, *older, *kinds) if all(map(isfinite, row[1:]))]
    return [(label, 100 * gain, 100 * low, 100 * high) for label, gain, low, high in rows]


def _part_means(scores: Sequence[PromptScore]) -> dict[str, float]:
    parts = [part for part in PARTS if part in scores[0].parts]
    means = {part: sum(score.parts[part] for score in scores) / len(scores) for part in parts}
    return {"quality": mean_quality(scores), **means}


def _draw_bars(
    axes: Any, groups: Mapping[str, Mapping[str, float]], title: str, counts: Mapping[str, int] | None = None
) -> None:
    """One cluster of bars a label, one bar a contender; `counts` are shown under the labels."""
    labels = list(next(iter(groups.values())))
    width = 0.82 / len(groups)
    for place, (name, means) in enumerate(groups.items()):
        offset = (place - (len(groups) - 1) / 2) * width
        places = [x + offset for x in range(len(labels))]
        values = [means[label] for label in labels]
        bars = axes.bar(places, values, width * 0.94, label=name, color=_COLOURS[place % len(_COLOURS)])
        axes.bar_label(bars, labels=[f"{value:.2f}".removeprefix("0") for value in values], fontsize=7.5, padding=1.5)
    notes = [f"\nn={counts[label]}" if counts else "" for label in labels]
    ticks = [_readable(label, number) + note for number, (label, note) in enumerate(zip(labels, notes, strict=True))]
    axes.set_xticks(range(len(labels)), ticks, fontsize=9)
    axes.margins(x=0.01)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("0 to 1")
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)


def _readable(label: str, number: int) -> str:
    """A label that the built-in font can draw: other alphabets would come out as empty boxes."""
    return label if label.isascii() else f"kind {number + 1}"
