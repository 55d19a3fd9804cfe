"""Cells and sheets as the parser gives them, before anything is understood."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum


class Unset(Enum):
    """A cell that ought to hold a value and does not."""

    FORMULA = "formula"

    def __str__(self) -> str:
        return "(formula without a result)"


Cell = str | int | float | bool | time | date | datetime | timedelta | Unset | None
"""A cell as the parser gives it; None is blank. Excel's times of day are `time`, 24:00 and beyond `timedelta`."""

Range = tuple[int, int, int, int]
"""First row, first column, last row, last column of a merged range, counted from 0."""


@dataclass(frozen=True, slots=True)
class RawSheet:
    """A sheet of a workbook. `cells` is None for sheets that are not needed; `cells[0]` is Excel's row 1."""

    name: str
    hidden: bool
    rows_filled: int
    cells: tuple[tuple[Cell, ...], ...] | None = None
    merged: tuple[Range, ...] = ()
