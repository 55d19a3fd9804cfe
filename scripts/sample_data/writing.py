"""The workbook as bytes that depend on nothing but the world."""

from __future__ import annotations

import re
import zipfile
from datetime import datetime
from io import BytesIO
from typing import Any

from openpyxl import Workbook
from openpyxl.utils import get_column_letter

from sample_data.world import Sheet, World

EXPORTED_AT = datetime(2026, 6, 30, 3, 0)


def workbook_bytes(world: World) -> bytes:
    """The workbook as bytes that depend on nothing but the world: fixed times, fixed order."""
    book = Workbook()
    book.remove(book["Sheet"])
    for table in world.sheets.values():
        _write_sheet(book, table)
    raw = BytesIO()
    book.save(raw)
    return _repack(raw.getvalue())


def _write_sheet(book: Workbook, table: Sheet) -> None:
    sheet = book.create_sheet(table.name)
    sheet.sheet_state = "hidden" if table.hidden else "visible"
    for number, cells in enumerate(table.above, start=1):
        for column, cell in enumerate(cells, start=1):
            sheet.cell(number, column, cell)
    places = {name: index for index, name in enumerate(table.columns, start=1)}
    for title, first, last in table.merged:
        top = table.header_row - 1
        sheet.cell(top, places[first], title)
        sheet.merge_cells(start_row=top, end_row=top, start_column=places[first], end_column=places[last])
    for name, column in places.items():
        sheet.cell(table.header_row, column, name)
    if table.merged:
        _merge_plain_headers(sheet, table, places)
    for number, row in enumerate(table.rows, start=table.header_row + 1):
        for name, cell in row.items():
            if cell is not None and cell != "":
                sheet.cell(number, places[name], cell)
    sheet.column_dimensions[get_column_letter(2)].width = 18


def _merge_plain_headers(sheet: Any, table: Sheet, places: dict[str, int]) -> None:
    """Columns outside every group get one header cell over both header rows, as people make them."""
    covered = {column for _, first, last in table.merged for column in range(places[first], places[last] + 1)}
    for name, column in places.items():
        if column not in covered:
            sheet.cell(table.header_row, column, None).value = None
            sheet.cell(table.header_row - 1, column, name)
            sheet.merge_cells(
                start_row=table.header_row - 1, end_row=table.header_row, start_column=column, end_column=column
            )


def _repack(raw: bytes) -> bytes:
    """The same archive with every date fixed: openpyxl stamps the present into it."""
    stamp = EXPORTED_AT.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    packed = BytesIO()
    with zipfile.ZipFile(BytesIO(raw)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp, content)
            entry = zipfile.ZipInfo(name, date_time=EXPORTED_AT.timetuple()[:6])
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            new.writestr(entry, content, compresslevel=9)
    return packed.getvalue()
