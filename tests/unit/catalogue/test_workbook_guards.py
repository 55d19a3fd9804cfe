"""Files that are no workbook, are broken, or are made to break the reader: a clear error, never a crash."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from nabi.catalogue import sheets
from nabi.catalogue.package import OLE_MAGIC, cell_position, column_letters
from nabi.catalogue.workbook import read_workbook
from nabi.errors import DataError

Write = Callable[[dict[str, list[list[Any]]]], Path]

GOOD: dict[str, list[list[Any]]] = {
    "shop": [["id", "shopName", "category"], [1, "봄날식당", "한식"]],
    "shop_menu": [["id", "shop_id", "name", "price"], [1, 1, "비빔밥", 7000]],
}


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_workbook(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"id,name\n1,a\n", "no Excel workbook"),
        (OLE_MAGIC + bytes(600), "old .xls workbook"),
        (OLE_MAGIC + bytes(600) + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
    ],
)
def test_a_file_that_is_no_workbook_is_named_for_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(content)
    message = refusal(path)
    assert said in message
    assert str(path) in message


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(tmp_path / "nowhere.xlsx")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "holds no Excel workbook" in refusal(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_workbook_is_refused(write_workbook: Write, share: float) -> None:
    path = write_workbook(GOOD)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged" in refusal(path)


def test_flipped_bytes_are_noticed(write_workbook: Write) -> None:
    path = write_workbook(GOOD)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("xl/worksheets/sheet1.xml").header_offset + 120
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refusal(path)


def test_a_sheet_cut_short_is_noticed(write_workbook: Write) -> None:
    path = write_workbook(GOOD)
    _replace(path, "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2])
    assert "broken XML" in refusal(path)


def test_one_cell_at_the_far_corner_is_named_instead_of_killing_the_process(write_workbook: Write) -> None:
    path = write_workbook(GOOD)
    book = load_workbook(path)
    book["shop"]["XFD1048576"] = "?"
    book.save(path)
    message = refusal(path)
    assert "XFD1048576" in message
    assert "sheet shop" in message


def test_a_far_cell_in_a_sheet_that_is_not_needed_does_no_harm(write_workbook: Write) -> None:
    path = write_workbook({**GOOD, "memo": [["x"]]})
    book = load_workbook(path)
    book["memo"]["XFD1048576"] = "?"
    book.save(path)
    assert len(read_workbook(path).catalogue.shops) == 1


def test_a_declared_dimension_is_not_believed(write_workbook: Write) -> None:
    path = write_workbook(GOOD)
    _replace(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b'ref="A1:C2"', b'ref="A1:XFD1048576"'))
    assert len(read_workbook(path).catalogue.shops) == 1


def test_a_zip_bomb_is_refused_by_its_ratio(write_workbook: Write) -> None:
    path = write_workbook(GOOD)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", bytes(64 * 2**20))
    assert "times its size" in refusal(path)


def test_a_document_type_is_refused(write_workbook: Write) -> None:
    path = write_workbook(GOOD)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>'
    _replace(path, "xl/worksheets/sheet1.xml", lambda xml: bomb + xml.removeprefix(b"<?xml version='1.0'?>"))
    assert "document type" in refusal(path)


def test_a_broken_cell_address_is_refused(write_workbook: Write) -> None:
    path = write_workbook(GOOD)
    _replace(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b'r="A2"', b'r="A0"'))
    assert "broken address (A0)" in refusal(path)


def test_a_parser_that_dies_is_an_error_not_a_crash(write_workbook: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_workbook(GOOD)
    monkeypatch.setattr(sheets.sys, "executable", "/bin/false")
    assert "the parser stopped" in refusal(path)


def test_a_parser_that_never_ends_is_stopped(write_workbook: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_workbook(GOOD)
    monkeypatch.setattr(sheets, "TIME_LIMIT_SECONDS", 0.001)
    assert "reading took more than" in refusal(path)


@pytest.mark.skipif(sys.platform != "linux", reason="address-space limits are kept by Linux only")
def test_the_child_may_not_take_more_memory_than_its_limit() -> None:
    script = "from nabi.catalogue import sheets; sheets._limit_resources(); bytearray(sheets.MEMORY_LIMIT_BYTES)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert b"MemoryError" in done.stderr


def test_cell_addresses_and_column_letters() -> None:
    assert cell_position("A1") == (1, 1)
    assert cell_position("XFD1048576") == (1048576, 16384)
    assert [column_letters(number) for number in (1, 26, 27, 16384)] == ["A", "Z", "AA", "XFD"]


def _replace(path: Path, part: str, change: Callable[[bytes], bytes]) -> None:
    """Rewrite one part of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = change(parts[part])
    assert changed != parts[part]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, changed if name == part else content)
