"""How much of a labelled set is masked or set apart, and how often clean lines are touched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from nabi.conversations.records import Frozen
from nabi.curation.pii.mask import Masked, mask


class Secret(Frozen):
    """Characters `start` to `end` (exclusive) of the line are a secret of `kind`."""

    kind: str
    start: int
    end: int


class Line(Frozen):
    """One labelled line; `of` is the list it was made for, "clean" where it holds no secret."""

    text: str
    secrets: tuple[Secret, ...]
    of: str = Field(description="phone, rrn, …, clean")
    origin: str = Field(description="hand or grammar")


@dataclass(slots=True)
class Tally:
    """Counts of secrets of one kind: `safe` is whole under placeholders or in a conversation set apart."""

    secrets: int = 0
    masked: int = 0
    safe: int = 0
    right_kind: int = 0


@dataclass(slots=True)
class Score:
    """By kind, and for clean lines: how many there are and how many are masked or set apart without need."""

    kinds: dict[str, Tally] = field(default_factory=dict)
    clean: int = 0
    touched: int = 0


def read_lines(path: Path) -> list[Line]:
    """The lines of a labelled JSONL file."""
    return [Line.model_validate(json.loads(row)) for row in path.read_text(encoding="utf-8").splitlines()]


def measure(lines: Iterable[Line]) -> Score:
    """Masks every line and compares with its labels."""
    score = Score()
    for line in lines:
        masked = mask(line.text)
        for secret in line.secrets:
            _count(score.kinds.setdefault(secret.kind, Tally()), line, secret, masked)
        if not line.secrets:
            score.clean += 1
            score.touched += bool(masked.found or masked.doubtful)
    return score


def is_masked(line: Line, secret: Secret, masked: Masked) -> bool:
    """True when no letter and no digit of the secret is left."""
    left = set(range(secret.start, secret.end))
    for found in masked.found:
        left -= set(range(found.start, found.end))
    return not any(line.text[place].isalnum() for place in left)


def _count(tally: Tally, line: Line, secret: Secret, masked: Masked) -> None:
    whole = is_masked(line, secret, masked)
    kinds = Counter(found.kind for found in masked.found if found.start < secret.end and found.end > secret.start)
    tally.secrets += 1
    tally.masked += whole
    tally.safe += whole or bool(masked.doubtful)
    tally.right_kind += whole and kinds.most_common(1)[0][0] == secret.kind
