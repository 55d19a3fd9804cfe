"""A picture of one evaluation: quality by part and by kind, the contenders side by side.

Labels are English: the picture is made on servers that have no Korean font.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nabi.evaluation.score import PARTS, PromptScore, group_means, mean_quality

_COLOURS = ("#b8bec9", "#7aa6d8", "#e0802f", "#5b8c5a", "#8e6bb0")


def save_comparison_plot(path: Path, contenders: Mapping[str, Sequence[PromptScore]], title: str) -> None:
    """Writes a PNG of quality by part (left) and by kind of question (right).

    Args:
        contenders: scores on the same prompts by name, in the order in which they are drawn.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    by_part = {name: _part_means(scores) for name, scores in contenders.items()}
    by_kind = {name: group_means(scores, lambda score: score.kind) for name, scores in contenders.items()}
    num_kinds = len(next(iter(by_kind.values())))
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(6 + 0.9 * num_kinds + 3, 4.6), width_ratios=(6, 1 + num_kinds), sharey=True, layout="constrained"
    )
    _draw_bars(left, by_part, "by part")
    _draw_bars(right, by_kind, "quality by kind of question")
    left.set_ylabel("score, 0 to 1")
    num_prompts = len(next(iter(contenders.values())))
    figure.suptitle(f"{title}  ({num_prompts} prompts)", fontsize=12, fontweight="bold")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(contenders), frameon=False)
    figure.savefig(path, dpi=140)
    pyplot.close(figure)


def _part_means(scores: Sequence[PromptScore]) -> dict[str, float]:
    parts = [part for part in PARTS if part in scores[0].parts]
    means = {part: sum(score.parts[part] for score in scores) / len(scores) for part in parts}
    return {"quality": mean_quality(scores), **means}


def _draw_bars(axes: Any, groups: Mapping[str, Mapping[str, float]], title: str) -> None:
    """One cluster of bars a label, one bar a contender."""
    labels = list(next(iter(groups.values())))
    width = 0.8 / len(groups)
    for place, (name, means) in enumerate(groups.items()):
        offset = (place - (len(groups) - 1) / 2) * width
        values = [means[label] for label in labels]
        bars = axes.bar(
            [x + offset for x in range(len(labels))], values, width * 0.92, label=name, color=_COLOURS[place % 5]
        )
        axes.bar_label(bars, labels=[f"{value:.2f}" for value in values], fontsize=6.5, padding=1, rotation=90)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axes.set_ylim(0, 1.12)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
