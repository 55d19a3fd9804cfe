"""From cells to rows: finds the header, reads every field of every row, and notes what was odd.

A table keeps Excel's row numbers all the way, so that every finding can be looked up in the workbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nabi.catalogue.cells import is_blank
from nabi.catalogue.columns import Column, Field, SheetSpec, bare_name
from nabi.catalogue.findings import WITHHELD, Action, Finding, Ledger
from nabi.catalogue.raw import Cell, RawSheet

HEADER_WITHIN = 25
"""Filled rows in which the header is looked for."""

MAX_VALUE = 80
"""Characters of a cell that a finding repeats."""


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns stand. `places` maps a column's key to positions counted from 0, best first."""

    row: int
    names: tuple[str, ...]
    places: dict[str, tuple[int, ...]]

    def missing(self, spec: SheetSpec) -> tuple[Column, ...]:
        return tuple(column for column in spec.columns if column.key not in self.places)

    @property
    def ignored(self) -> tuple[str, ...]:
        used = {place for places in self.places.values() for place in places}
        return tuple(name for place, name in enumerate(self.names) if name and place not in used)


@dataclass(slots=True)
class FieldStats:
    """How a field fared over the rows of its sheet: cells that say something, and those that were understood."""

    filled: int = 0
    understood: int = 0
    mended: int = 0


@dataclass(slots=True)
class TableRow:
    """A row in Excel's numbering: its values by field, and the cells that they come from by column."""

    number: int
    values: dict[str, Any]
    cells: dict[str, Cell]


@dataclass(slots=True)
class Table:
    """A sheet that was read: `rows` are those still in use, `num_read` all that were filled below the header."""

    spec: SheetSpec
    name: str
    header: Header
    num_read: int = 0
    rows: list[TableRow] = field(default_factory=list)
    stats: dict[str, FieldStats] = field(default_factory=dict)

    def column_name(self, field_name: str, part: int = 0) -> str:
        """The header, as the sheet spells it, of the column that a field's value comes from."""
        keys = next((item.columns for item in self.spec.fields if item.name == field_name), (field_name,))
        found = [key for key in keys[part:] if key in self.header.places]
        return self.header.names[self.header.places[found[0]][0]] if found else keys[part]

    def source(self, row: TableRow, field_name: str) -> tuple[str, Cell]:
        """Header and cell that a value comes from: of several columns the first that is filled."""
        keys = next(item.columns for item in self.spec.fields if item.name == field_name)
        part = next((part for part, key in enumerate(keys) if not is_blank(row.cells[key])), 0)
        return self.column_name(field_name, part), row.cells[keys[part]]

    def without(self, refused: set[int]) -> None:
        """Drop rows by their number."""
        self.rows = [row for row in self.rows if row.number not in refused]


def find_header(sheet: RawSheet, spec: SheetSpec) -> Header | None:
    """The row that names most of the wanted columns, above which anything may stand; None when there is none."""
    best: Header | None = None
    seen = 0
    for index, row in enumerate(sheet.cells or ()):
        if not any(not is_blank(cell) for cell in row):
            continue
        seen += 1
        if seen > HEADER_WITHIN:
            break
        candidate = _header_at(sheet, spec, index, row)
        if len(candidate.places) > (len(best.places) if best else 1):
            best = candidate
    return best


def _header_at(sheet: RawSheet, spec: SheetSpec, index: int, row: Sequence[Cell]) -> Header:
    names = [cell.strip() if isinstance(cell, str) else "" for cell in row]
    for top, left, bottom, right in sheet.merged:
        # A header cell merged downwards keeps its name in its top row.
        if top < index <= bottom and left == right and sheet.cells and left < len(sheet.cells[top]):
            cell = sheet.cells[top][left]
            names.extend([""] * (left + 1 - len(names)))
            names[left] = names[left] or (cell.strip() if isinstance(cell, str) else "")
    return Header(index + 1, tuple(names), _places([bare_name(name) for name in names], spec))


def _places(names: list[str], spec: SheetSpec) -> dict[str, tuple[int, ...]]:
    """For each column the places of its best name, or of all its names when they are to be merged."""
    places: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for column in spec.columns:
        free = [(place, name) for place, name in enumerate(names) if place not in taken]
        found = [place for wanted in column.names for place, name in free if name == wanted]
        if found:
            places[column.key] = tuple(found) if column.merge else (found[0],)
            taken.update(places[column.key])
    return places


def read_table(sheet: RawSheet, spec: SheetSpec, header: Header, ledger: Ledger) -> Table:
    """All rows below the header, each field read, problems noted in the ledger."""
    table = Table(spec, sheet.name, header, stats={item.name: FieldStats() for item in spec.fields})
    for number, cells in enumerate(sheet.cells or (), start=1):
        if number <= header.row or all(is_blank(cell) for cell in cells):
            continue
        table.num_read += 1
        if _repeats(header, cells):
            ledger.note(Finding(sheet.name, number, "", "repeated_header", "", "dropped"))
            continue
        table.rows.append(_read_row(table, number, cells, ledger))
    return table


def _repeats(header: Header, cells: Sequence[Cell]) -> bool:
    """True when a row holds the header again, as pasted exports do."""
    named = [(name, cell) for name, cell in zip(header.names, cells, strict=False) if name]
    same = (isinstance(cell, str) and bare_name(cell) == bare_name(name) for name, cell in named)
    return bool(named) and all(same)


def _read_row(table: Table, number: int, cells: Sequence[Cell], ledger: Ledger) -> TableRow:
    picked = {column.key: _pick(table, column, number, cells, ledger) for column in table.spec.columns}
    values = {item.name: _read_field(table, item, number, picked, ledger) for item in table.spec.fields}
    return TableRow(number, values, picked)


def _pick(table: Table, column: Column, number: int, cells: Sequence[Cell], ledger: Ledger) -> Cell:
    """The first filled cell among the places of a column; a second one that differs is noted."""
    places = table.header.places.get(column.key, ())
    filled = [place for place in places if place < len(cells) and not is_blank(cells[place])]
    if not filled:
        return None
    first = cells[filled[0]]
    for place in filled[1:]:
        if str(cells[place]).strip() != str(first).strip():
            name = table.header.names[place]
            ledger.note(Finding(table.name, number, name, "columns_disagree", shown(cells[place]), "repaired"))
    return first


def _read_field(table: Table, item: Field, number: int, picked: dict[str, Cell], ledger: Ledger) -> Any:
    cells = [picked[key] for key in item.columns]
    reading = item.parse(*cells)
    stats = table.stats[item.name]
    if not is_blank(cells[0]):
        stats.filled += 1
        stats.understood += reading.value is not None or not reading.problems
        stats.mended += reading.value is not None and bool(reading.problems)
    action: Action = "repaired" if reading.value is not None else "kept_without"
    for found in reading.problems:
        value = WITHHELD if item.private or found.rule in _WITHHOLD else shown(cells[found.part])
        column = table.column_name(item.name, found.part)
        # What is lost is the break; the hours around it stay.
        lost: Action = "kept_without" if found.rule == "break_outside_hours" else action
        ledger.note(Finding(table.name, number, column, found.rule, value, lost))
    return reading.value


_WITHHOLD = frozenset({"phone", "email", "long_number", "personal_text"})


def shown(cell: Cell) -> str:
    """A cell as a finding repeats it: short, on one line."""
    text = " ".join(str(cell).split()) if cell is not None else ""
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"
