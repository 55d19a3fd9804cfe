"""How commands print: one console, tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

# A pipe has no width of its own; tables of sentences need room.
_PIPE_WIDTH = 160
console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def show(
    rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str, empty: str, rare: Collection[str] = ()
) -> None:
    """Rows as a table, or as a JSON list.

    Args:
        empty: what to say when there are no rows.
        rare: columns that a table leaves out where no row has anything in them.
    """
    if as_json:
        print_json([dict(row) for row in rows])
    elif not rows:
        console.print(empty)
    else:
        idle = {column for column in rare if not any(row[column] for row in rows)}
        told = [{column: value for column, value in row.items() if column not in idle} for row in rows]
        console.print(table_of(told, title))


def print_json(data: Any) -> None:
    """Data for programs: moments as ISO 8601, paths and the like as text."""
    print(json.dumps(data, ensure_ascii=False, indent=2, default=_plain))


def table_of(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """A table whose columns are the first row's keys; sentences get the room that is left."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in rows[0]:
        min_width, ratio = (24, 1) if column in _SENTENCES else (None, None)
        table.add_column(column, overflow="fold", min_width=min_width, ratio=ratio)
    for row in rows:
        table.add_row(*("" if value is None else _cell(value) for value in row.values()))
    return table


_SENTENCES = frozenset({"why", "what", "last", "answer", "reason"})


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
