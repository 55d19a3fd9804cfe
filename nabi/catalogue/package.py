"""Look into an .xlsx file before anything parses it: is it one, is it sane, which sheets does it hold?

The guards stand here because the fast parser allocates a sheet as a rectangle: one cell at XFD1048576 makes it
ask for half a terabyte and abort the process.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO
from xml.parsers import expat

from nabi.errors import DataError

MAX_FILE_BYTES = 200 * 2**20
MAX_UNPACKED_BYTES = 600 * 2**20
MAX_RATIO = 250
RATIO_COUNTS_FROM = 20 * 2**20
MAX_SHEETS = 300
MAX_ROWS = 300_000
MAX_COLUMNS = 600
MAX_AREA = 6_000_000

OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
SAVE_AGAIN = "Open it in Excel or LibreOffice and save it again as .xlsx."


@dataclass(slots=True)
class SheetPart:
    """A worksheet inside the package. Rows and columns count from 1; `formulas` are those saved without a result."""

    name: str
    part: str
    hidden: bool
    rows_filled: int = 0
    last_row: int = 0
    last_column: int = 0
    far_cell: str = ""
    formulas: set[tuple[int, int]] = field(default_factory=set)


def inspect_package(path: Path) -> list[SheetPart]:
    """The worksheets of a workbook in its own order.

    Raises:
        DataError: not a workbook, protected, damaged, or larger than anything a shop list needs.
    """
    _check_file(path)
    try:
        with zipfile.ZipFile(path) as package:
            _check_sizes(package, path)
            parts = _list_sheets(package, path)
            for part in parts:
                _scan(package, part, path)
            return parts
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"the file is damaged ({error}).", where=str(path), fix=SAVE_AGAIN) from error
    except (expat.ExpatError, UnicodeDecodeError) as error:
        raise DataError(f"a sheet holds broken XML ({error}).", where=str(path), fix=SAVE_AGAIN) from error


def check_extent(part: SheetPart, path: Path) -> None:
    """Refuse a sheet whose cells span more than can be meant.

    Raises:
        DataError: names the sheet and the cell that lies far out.
    """
    area = part.last_row * part.last_column
    if part.last_row > MAX_ROWS or part.last_column > MAX_COLUMNS or area > MAX_AREA:
        raise DataError(
            f"the cells reach to {part.far_cell}; at most {MAX_ROWS:,} rows and {MAX_COLUMNS} columns are read.",
            where=f"{path}, sheet {part.name}",
            fix="Delete the rows and columns beyond the data (a forgotten cell is enough) and save the file.",
        )


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise DataError("there is no such file.", where=str(path), fix="Give the path of an .xlsx workbook.")
    size = path.stat().st_size
    if size == 0:
        raise DataError("the file is empty.", where=str(path), fix="Export the workbook again.")
    if size > MAX_FILE_BYTES:
        raise DataError(f"the file has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read.", where=str(path))
    with path.open("rb") as file:
        head = file.read(8)
    if head == OLE_MAGIC:
        _refuse_ole(path)
    if head[:2] != b"PK":
        raise DataError(
            "this is no Excel workbook (.xlsx).", where=str(path), fix="Export the data as .xlsx, not as .csv or .html."
        )


def _refuse_ole(path: Path) -> None:
    if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
        raise DataError(
            "the workbook is protected by a password.", where=str(path), fix="Save a copy without a password."
        )
    raise DataError("this is an old .xls workbook, not .xlsx.", where=str(path), fix=SAVE_AGAIN)


def _check_sizes(package: zipfile.ZipFile, path: Path) -> None:
    entries = package.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(1, sum(entry.compress_size for entry in entries))
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > RATIO_COUNTS_FROM and unpacked / packed > MAX_RATIO):
        raise DataError(
            f"unpacked it has {unpacked:,} bytes, {unpacked // packed} times its size; that is no shop list.",
            where=str(path),
            fix="Export only the needed tables.",
        )


def _list_sheets(package: zipfile.ZipFile, path: Path) -> list[SheetPart]:
    names = set(package.namelist())
    if "xl/workbook.xml" not in names:
        raise DataError("the archive holds no Excel workbook (.xlsx).", where=str(path), fix=SAVE_AGAIN)
    targets = _relations(package, names)
    parts: list[SheetPart] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if _local(tag) != "sheet":
            return
        relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
        part = targets.get(relation, "")
        if part in names:
            parts.append(SheetPart(attributes.get("name", ""), part, attributes.get("state", "visible") != "visible"))

    _parse(package, "xl/workbook.xml", start)
    if len(parts) > MAX_SHEETS:
        raise DataError(f"the workbook has {len(parts)} sheets; at most {MAX_SHEETS} are read.", where=str(path))
    return parts


def _relations(package: zipfile.ZipFile, names: set[str]) -> dict[str, str]:
    targets: dict[str, str] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        if attributes.get("Type", "").endswith("/worksheet"):
            target = attributes.get("Target", "")
            full = target.lstrip("/") if target.startswith("/") else str(PurePosixPath("xl") / target)
            targets[attributes.get("Id", "")] = full

    if "xl/_rels/workbook.xml.rels" in names:
        _parse(package, "xl/_rels/workbook.xml.rels", start)
    return targets


OnStart = Callable[[str, dict[str, str]], None]
OnText = Callable[[str], None]


def _parse(
    package: zipfile.ZipFile, part: str, start: OnStart, end: OnText | None = None, text: OnText | None = None
) -> None:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    with package.open(part) as stream:
        _feed(parser, stream)


def _feed(parser: expat.XMLParserType, stream: IO[bytes]) -> None:
    while chunk := stream.read(1 << 18):
        parser.Parse(chunk, False)
    parser.Parse(b"", True)


def _refuse_doctype(*_: object) -> None:
    raise DataError("a sheet declares a document type, which no spreadsheet program writes.", fix=SAVE_AGAIN)


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]


class _CellScan:
    """Follows the cells of a sheet: where they stand, whether they hold a value, whether a formula lost its own."""

    def __init__(self, part: SheetPart) -> None:
        self.part = part
        self.row = 0
        self.column = 0
        self.row_has_value = False
        self.formula = False
        self.valued = False
        self.in_value = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        if name == "c":
            self.column += 1
            if reference := attributes.get("r"):
                self.row, self.column = cell_position(reference)
            self.formula = self.valued = False
        elif name == "row":
            self.row = int(attributes.get("r", self.row + 1))
            self.column = 0
            self.row_has_value = False
        elif name == "f":
            self.formula = True
        elif name in ("v", "t"):
            self.in_value = True

    def text(self, data: str) -> None:
        if self.in_value and data:
            self.valued = True

    def end(self, tag: str) -> None:
        name = _local(tag)
        if name in ("v", "t"):
            self.in_value = False
        elif name == "c":
            self._end_cell()
        elif name == "row":
            self.part.rows_filled += self.row_has_value

    def _end_cell(self) -> None:
        if self.formula and not self.valued:
            self.part.formulas.add((self.row, self.column))
        if not (self.valued or self.formula):
            return
        self.row_has_value = True
        if self.row > self.part.last_row or self.column > self.part.last_column:
            self.part.last_row = max(self.row, self.part.last_row)
            self.part.last_column = max(self.column, self.part.last_column)
            self.part.far_cell = f"{column_letters(self.column)}{self.row}"


def _scan(package: zipfile.ZipFile, part: SheetPart, path: Path) -> None:
    scan = _CellScan(part)
    try:
        _parse(package, part.part, scan.start, scan.end, scan.text)
    except ValueError as error:
        where = f"{path}, sheet {part.name}"
        raise DataError(f"a cell has a broken address ({error}).", where=where, fix=SAVE_AGAIN) from error


def cell_position(reference: str) -> tuple[int, int]:
    """Row and column of an address such as AB12, counted from 1.

    Raises:
        ValueError: no address of a cell.
    """
    match = re.fullmatch(r"\$?([A-Za-z]{1,3})\$?([1-9]\d{0,6})", reference)
    if match is None:
        raise ValueError(reference)
    column = 0
    for letter in match[1].upper():
        column = column * 26 + ord(letter) - 64
    return int(match[2]), column


def column_letters(column: int) -> str:
    """The letters of a column counted from 1: 28 is AB."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
