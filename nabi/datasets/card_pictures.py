"""A dataset card as a picture: topics, difficulty, lengths, parts. For people; no part of the dataset's version.

Labels are English: the picture is made on servers that have no Korean font.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from nabi.collector import collector_paused
from nabi.datasets.advice import LENGTH_EDGES, WANTED_DIFFICULTY, Balance
from nabi.datasets.card import DatasetCard

MOST_TOPICS = 12
_COLOUR, _WANTED_COLOUR = "#7aa6d8", "#e0802f"


@collector_paused()
def save_card_picture(path: Path, card: DatasetCard) -> bool:
    """Writes a PNG; False, and nothing written, when the card has no balance to show (an old card)."""
    if card.balance is None:
        return False
    # Figure and not pyplot, whose import alone takes a fifth of the picture's time and whose state all threads share.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7))
    axes = figure.subplots(2, 2)
    # Set by hand: finding out what fits would draw every label twice before it is drawn.
    figure.subplots_adjust(left=0.1, right=0.98, top=0.9, bottom=0.06, hspace=0.25, wspace=0.2)
    _draw_topics(axes[0][0], card.balance)
    _draw_difficulty(axes[0][1], card.balance)
    _draw_lengths(axes[1][0], card.balance)
    _draw_parts(axes[1][1], card)
    figure.suptitle(f"Dataset of {card.persona_id}, {card.digest[:12]}", fontsize=12, fontweight="bold")
    figure.savefig(path, dpi=110)
    return True


def _draw_topics(axes: Any, balance: Balance) -> None:
    common = sorted(balance.topics.items(), key=lambda item: (-item[1], item[0]))[:MOST_TOPICS]
    names = [topic if topic.isascii() else f"topic {place + 1}" for place, (topic, _num) in enumerate(common)]
    axes.barh(names[::-1], [num for _topic, num in common][::-1], color=_COLOUR)
    axes.set_title(f"samples by topic ({len(balance.topics)} topics)")


def _draw_difficulty(axes: Any, balance: Balance) -> None:
    total = max(1, balance.samples)
    places = range(len(WANTED_DIFFICULTY))
    shares = [balance.difficulty.get(level, 0) / total for level in WANTED_DIFFICULTY]
    axes.bar([place - 0.2 for place in places], shares, 0.4, color=_COLOUR, label="here")
    axes.bar([place + 0.2 for place in places], WANTED_DIFFICULTY.values(), 0.4, color=_WANTED_COLOUR, label="wanted")
    axes.set_xticks(list(places), list(WANTED_DIFFICULTY))
    axes.set_title("share by difficulty")
    axes.legend(frameon=False)


def _draw_lengths(axes: Any, balance: Balance) -> None:
    edges = [0, *LENGTH_EDGES]
    names = [f"{low}–{high - 1}" for low, high in pairwise(edges)] + [f"{LENGTH_EDGES[-1]}+"]
    axes.bar(names, balance.answer_lengths, color=_COLOUR)
    axes.set_title("answers by characters")


def _draw_parts(axes: Any, card: DatasetCard) -> None:
    names = list(card.parts)
    logged = [part.samples - part.by_source.get("bootstrap", 0) for part in card.parts.values()]
    made = [part.by_source.get("bootstrap", 0) for part in card.parts.values()]
    axes.bar(names, logged, color=_COLOUR, label="conversations")
    axes.bar(names, made, bottom=logged, color=_WANTED_COLOUR, label="catalogue dialogues")
    axes.set_title("samples by part")
    axes.legend(frameon=False)
