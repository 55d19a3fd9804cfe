"""The cells of a workbook's sheets, parsed in a child process with a limit on memory and time.

Only the sheets that the catalogue needs are parsed; of the others, those with people's data among them, nothing
but the number of rows leaves this module.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from nabi.catalogue.columns import spec_for
from nabi.catalogue.package import SAVE_AGAIN, SheetPart, check_extent, inspect_package
from nabi.catalogue.raw import Cell, RawSheet, Unset
from nabi.errors import DataError

MEMORY_LIMIT_BYTES = 2 * 2**30
TIME_LIMIT_SECONDS = 180
EXPORT_LESS = "Export only the needed tables."


def read_sheets(path: Path) -> tuple[RawSheet, ...]:
    """All sheets of a workbook, in its order, parsed in a process of their own.

    Raises:
        DataError: the file cannot be read; says where and what to do.
    """
    command = [sys.executable, "-m", "nabi.catalogue.sheets", str(path.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        what = f"reading took more than {TIME_LIMIT_SECONDS} seconds."
        raise DataError(what, where=str(path), fix=EXPORT_LESS) from error
    answer = _answer(done.stdout)
    if "error" in answer:
        raise DataError(**answer["error"])
    if done.returncode != 0 or "sheets" not in answer:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise DataError(f"the parser stopped ({last[0]}).", where=str(path), fix=SAVE_AGAIN)
    return tuple(_sheet_from(item) for item in answer["sheets"])


def _answer(output: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(output)
    except json.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _sheet_from(item: dict[str, Any]) -> RawSheet:
    cells = item["cells"]
    return RawSheet(
        name=item["name"],
        hidden=item["hidden"],
        rows_filled=item["rows_filled"],
        cells=None if cells is None else tuple(tuple(_decode(cell) for cell in row) for row in cells),
        merged=tuple((a, b, c, d) for a, b, c, d in item["merged"]),
    )


def _encode(cell: Any) -> Any:
    """A cell as JSON; what JSON lacks becomes an object with one letter."""
    if cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    if isinstance(cell, timedelta):
        return {"s": cell.total_seconds()}
    kind = next((letter for letter, of in _LETTERS.items() if isinstance(cell, of)), None)
    return cell if kind is None else {kind: cell.isoformat()}


# A datetime is a date too, so it comes first.
_LETTERS = {"m": datetime, "d": date, "t": time}


def _decode(cell: Any) -> Cell:
    if not isinstance(cell, dict):
        return cell  # type: ignore[no-any-return]  # JSON's own types are cells already
    (kind, value), *_ = cell.items()
    if kind == "m":
        return datetime.fromisoformat(value)
    if kind == "d":
        return date.fromisoformat(value)
    if kind == "t":
        return time.fromisoformat(value)
    return timedelta(seconds=value) if kind == "s" else Unset.FORMULA


def _limit_resources() -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT_SECONDS, TIME_LIMIT_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _parse_all(path: Path) -> dict[str, Any]:
    parts = inspect_package(path)
    for part in parts:
        if _needed(part):
            check_extent(part, path)
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            return {"sheets": [_parse_one(book, part) for part in parts]}
    except CalamineError as error:
        raise DataError(f"the workbook cannot be parsed ({error}).", where=str(path), fix=SAVE_AGAIN) from error


def _needed(part: SheetPart) -> bool:
    spec = spec_for(part.name)
    return spec is not None and part.rows_filled > 0


def _parse_one(book: Any, part: SheetPart) -> dict[str, Any]:
    item: dict[str, Any] = {"name": part.name, "hidden": part.hidden, "rows_filled": part.rows_filled}
    if not _needed(part):
        return {**item, "cells": None if spec_for(part.name) is None else [], "merged": []}
    sheet = book.get_sheet_by_name(part.name)
    cells = [[_encode(cell) for cell in row] for row in sheet.to_python(skip_empty_area=False)]
    for row, column in part.formulas:
        _mark_formula(cells, row - 1, column - 1)
    ranges = [[*first, *last] for first, last in sheet.merged_cell_ranges or []]
    return {**item, "cells": cells, "merged": ranges}


def _mark_formula(cells: list[list[Any]], row: int, column: int) -> None:
    """Formulas without a result read as blank, and the parser may have left them off the sheet's edge."""
    while len(cells) <= row:
        cells.append([])
    cells[row].extend([None] * (column + 1 - len(cells[row])))
    if cells[row][column] is None:
        cells[row][column] = {"f": 1}


def main(path: Path) -> int:
    """Entry of the child: the sheets, or the error, as one JSON object on standard output."""
    _limit_resources()
    try:
        answer: dict[str, Any] = _parse_all(path)
    except DataError as error:
        answer = {"error": {"what": error.what, "where": error.where or str(path), "fix": error.fix}}
    except MemoryError:
        answer = {"error": {"what": "the workbook needs too much memory.", "where": str(path), "fix": EXPORT_LESS}}
    json.dump(answer, sys.stdout, ensure_ascii=True, separators=(",", ":"))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
