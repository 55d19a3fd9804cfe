"""Reads a workbook of a meal-card service into a catalogue, and says what it did with every row.

`read_workbook` is the door: it finds sheets and columns by name, reads and checks the rows, and gives the
catalogue, the findings and a summary of each sheet in which rows read = rows used + rows refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from nabi.catalogue.assemble import assemble
from nabi.catalogue.columns import PRIVATE_SHEETS, SHEETS, SheetSpec, bare_name, spec_for
from nabi.catalogue.findings import RULES, Finding, Ledger, WorkbookError
from nabi.catalogue.model import Catalogue
from nabi.catalogue.raw import RawSheet
from nabi.catalogue.sheets import read_sheets
from nabi.catalogue.tables import Table, find_header, read_table
from nabi.conversations import records
from nabi.errors import DataError
from nabi.kept import KeptResults, code_of

NAME_COLUMNS = (
    "Export these tables with their column names in one row above the data; "
    "shopName, shop_name and 'Shop Name' are all understood."
)

Kind = Literal["read", "unusable", "private", "not needed"]


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """How a field fared: rows whose cell says something, that were understood, that were understood after mending."""

    name: str
    column: str
    filled: int
    understood: int
    mended: int


@dataclass(frozen=True, slots=True)
class SheetSummary:
    """What became of a sheet. `rows_read` = `rows_used` + the sum of `refused`; blank rows do not count.

    Sheets that were not read give only their name and the number of filled rows below the first.
    """

    name: str
    kind: Kind
    hidden: bool = False
    rows_read: int = 0
    rows_used: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    header_row: int | None = None
    columns_used: tuple[str, ...] = ()
    columns_ignored: tuple[str, ...] = ()
    columns_missing: tuple[str, ...] = ()
    fields: tuple[FieldSummary, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkbookReading:
    """A workbook that was read: the catalogue, everything that was odd, and a summary of each sheet in its order."""

    path: Path
    catalogue: Catalogue
    findings: tuple[Finding, ...]
    sheets: tuple[SheetSummary, ...]

    def sheet(self, name: str) -> SheetSummary | None:
        """The summary of a sheet that was read, by the name of its specification, e.g. shop_menu."""
        found = (item for item in self.sheets if (spec := spec_for(item.name)) and spec.name == name)
        return next((item for item in found if item.kind in ("read", "unusable")), None)


def read_workbook(path: Path) -> WorkbookReading:
    """Read and check a workbook.

    Raises:
        DataError: the file cannot be read, or lacks a sheet or a column that is needed; names it and the fix.
        WorkbookError: it can be read but holds no usable shop or menu; its findings say why, row by row.
    """
    digest = file_digest(path)
    sheets = read_sheets(path)
    chosen = _choose(sheets)
    ledger = Ledger()
    tables, unusable = _tables(chosen, path, ledger)
    catalogue = assemble(tables, ledger, digest)
    findings = _in_order(ledger.findings, sheets)
    _require_content(catalogue, ledger, findings, tables, path)
    summaries = tuple(_summarise(sheet, tables, unusable, ledger) for sheet in sheets)
    return WorkbookReading(path, catalogue, findings, summaries)


def read_workbook_cached(path: Path, kept: KeptResults) -> WorkbookReading:
    """As `read_workbook`, once per content of the file; what it gave is kept for other processes too."""
    return _read_content(_Content(path, file_digest(path), kept))


@dataclass(frozen=True)
class _Content:
    path: Path
    digest: str
    kept: KeptResults = field(compare=False)


@lru_cache(maxsize=4)
def _read_content(content: _Content) -> WorkbookReading:
    def read() -> WorkbookReading:
        reading = read_workbook(content.path)
        if reading.catalogue.source_digest != content.digest:
            fix = "Try again when it is written."
            raise DataError("the file changed while it was read.", where=str(content.path), fix=fix)
        return reading

    made_from = ("workbook", content.path, content.digest, reader_code())
    return content.kept.get(made_from, TypeAdapter(WorkbookReading), read)


def reader_code() -> str:
    """What decides beside the workbook what is made of it: the code of this package and of what it leans on."""
    sources = (Path(__file__).parent, Path(records.__file__))
    return code_of(*sources, libraries=("pandas", "pandera", "python-calamine"))


def file_digest(path: Path) -> str:
    """sha256 of the file.

    Raises:
        DataError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"the workbook cannot be opened ({error.strerror}).", where=str(path), fix="Give the path of an .xlsx file."
        ) from error


def _choose(sheets: Iterable[RawSheet]) -> dict[str, RawSheet]:
    """The sheet for each specification; the first one where several fit."""
    chosen: dict[str, RawSheet] = {}
    for sheet in sheets:
        spec = spec_for(sheet.name)
        if spec is not None:
            chosen.setdefault(spec.name, sheet)
    return chosen


def _tables(
    chosen: Mapping[str, RawSheet], path: Path, ledger: Ledger
) -> tuple[dict[str, Table], dict[str, tuple[str, ...]]]:
    """Tables by specification, and the sheets that could not be used with what they lack.

    Raises:
        DataError: lists everything that is missing of the sheets without which there is no catalogue.
    """
    tables: dict[str, Table] = {}
    unusable: dict[str, tuple[str, ...]] = {}
    complaints: list[str] = []
    for spec in SHEETS:
        sheet = chosen.get(spec.name)
        lacking = _lacking(sheet, spec)
        if sheet is not None and not lacking and (header := find_header(sheet, spec)) is not None:
            tables[spec.name] = read_table(sheet, spec, header, ledger)
        elif spec.required:
            complaints.append(_complaint(sheet, spec, lacking))
        elif sheet is not None:
            unusable[sheet.name] = lacking
            _note_unusable(sheet, lacking, ledger)
    if complaints:
        raise DataError(" ".join(complaints), where=str(path), fix=NAME_COLUMNS)
    return tables, unusable


def _lacking(sheet: RawSheet | None, spec: SheetSpec) -> tuple[str, ...]:
    """Required columns that a sheet lacks, in the first of their names."""
    if sheet is None:
        return ()
    header = find_header(sheet, spec)
    places = header.places if header else {}
    return tuple(column.key for column in spec.columns if column.required and column.key not in places)


def _complaint(sheet: RawSheet | None, spec: SheetSpec, lacking: tuple[str, ...]) -> str:
    if sheet is None:
        return f"There is no sheet {spec.name}."
    if sheet.rows_filled == 0:
        return f"Sheet {sheet.name} is empty."
    header = find_header(sheet, spec)
    if header is None:
        return f"Sheet {sheet.name} has no row with column names."
    known = "; ".join(f"{key} (e.g. {' or '.join(spec.column(key).names[:2])})" for key in lacking)
    seen = ", ".join(name for name in header.names if name)
    return f"Sheet {sheet.name} lacks the columns {known}; its row {header.row} has: {seen}."


def _note_unusable(sheet: RawSheet, lacking: tuple[str, ...], ledger: Ledger) -> None:
    for column in lacking if sheet.rows_filled else ():
        ledger.findings.append(Finding(sheet.name, 0, column, "missing_column", "", "dropped"))


def _in_order(findings: Iterable[Finding], sheets: Iterable[RawSheet]) -> tuple[Finding, ...]:
    """Findings as they lie in the workbook: by sheet, row, then column and rule."""
    places = {sheet.name: place for place, sheet in enumerate(sheets)}
    return tuple(sorted(findings, key=lambda item: (places[item.sheet], item.row, item.column, item.rule)))


def _require_content(
    catalogue: Catalogue, ledger: Ledger, findings: tuple[Finding, ...], tables: Mapping[str, Table], path: Path
) -> None:
    for name, found in (("shop", catalogue.shops), ("shop_menu", catalogue.menus)):
        if found:
            continue
        table = tables[name]
        reasons = "; ".join(f"{count} × {RULES[rule]}" for rule, count in ledger.reasons(table.name).items())
        raise WorkbookError(
            f"sheet {table.name} holds no usable row ({table.num_read} read{': ' + reasons if reasons else ''}).",
            where=str(path),
            fix="Mend these rows in the source and export again.",
            findings=findings,
        )


def _summarise(
    sheet: RawSheet, tables: Mapping[str, Table], unusable: Mapping[str, tuple[str, ...]], ledger: Ledger
) -> SheetSummary:
    table = next((item for item in tables.values() if item.name == sheet.name), None)
    num_below = max(0, sheet.rows_filled - 1)
    if sheet.name in unusable:
        return SheetSummary(
            sheet.name, "unusable", sheet.hidden, num_below, 0, {"missing_column": num_below} if num_below else {},
            columns_missing=unusable[sheet.name],
        )  # fmt: skip
    if table is None:
        kind: Kind = "private" if bare_name(sheet.name) in PRIVATE_SHEETS else "not needed"
        return SheetSummary(sheet.name, kind, sheet.hidden, num_below)
    header = table.header
    used = {place for places in header.places.values() for place in places}
    return SheetSummary(
        name=sheet.name,
        kind="read",
        hidden=sheet.hidden,
        rows_read=table.num_read,
        rows_used=len(table.rows),
        refused=ledger.reasons(sheet.name),
        header_row=header.row,
        columns_used=tuple(header.names[place] for place in sorted(used)),
        columns_ignored=header.ignored,
        columns_missing=tuple(column.key for column in header.missing(table.spec)),
        fields=tuple(
            FieldSummary(name, table.column_name(name), item.filled, item.understood, item.mended)
            for name, item in table.stats.items()
        ),
    )
