"""Workbooks of the same shape by other hands: other order, other case, other values, parts missing."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from nabi.catalogue import workbook
from nabi.catalogue.dialogues import make_dialogues
from nabi.catalogue.findings import Finding, WorkbookError, write_findings
from nabi.catalogue.model import Hours
from nabi.catalogue.report import feature_report, render
from nabi.catalogue.workbook import WorkbookReading, read_workbook, read_workbook_cached
from nabi.errors import DataError
from nabi.kept import KeptResults

SAMPLE = Path(__file__).resolve().parents[3] / "sample_data.xlsx"

Write = Callable[[dict[str, list[list[Any]]]], Path]
Rows = list[list[Any]]

SHOPS: Rows = [["id", "shopName", "category"], [1, "봄날식당", "한식"], [2, "여름분식", "분식"]]
MENUS: Rows = [["id", "shop_id", "name", "price"], [1, 1, "비빔밥", 7000], [2, 2, "떡볶이", "4천5백원"]]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptResults]:
    """Readings of this test only."""
    workbook._read_content.cache_clear()
    yield KeptResults(tmp_path / "kept")
    workbook._read_content.cache_clear()


def rules_of(reading: WorkbookReading) -> list[tuple[str, int, str]]:
    return [(item.sheet, item.row, item.rule) for item in reading.findings]


def test_columns_are_found_in_any_order_and_case_style(write_workbook: Write) -> None:
    path = write_workbook(
        {
            "Shop Menu": [
                ["PRICE", "Is Best", "Menu Name", "StoreId", "Menu_ID", "SoldOut"],
                ["만2천원", "예", "탕수육", "A-7", 10, "N"],
            ],
            "Stores": [
                ["OPEN_HOURS", "Category Name", "IsGoodInfluenceShop", "STORE_NAME", "store-id", "closed day"],
                ["낮 12시부터 밤 10시까지", "중국집", "O", "나루 반점", "A-7", "수"],
            ],
        }
    )
    catalogue = read_workbook(path).catalogue
    (shop,), (menu,) = catalogue.shops, catalogue.menus
    assert (shop.shop_id, shop.name, shop.category, shop.is_good_influence) == ("A-7", "나루 반점", "중식", True)
    assert shop.hours == Hours(time(12), time(22))
    assert shop.closed_days == {2}
    assert (menu.menu_id, menu.shop_id, menu.name, menu.price) == ("10", "A-7", "탕수육", 12000)
    assert menu.is_best and not menu.is_sold_out


def test_extra_sheets_and_columns_are_left_alone_and_listed(write_workbook: Write) -> None:
    shops = [[*SHOPS[0], "memo"], [*SHOPS[1], "x"], [*SHOPS[2], "y"]]
    reading = read_workbook(
        write_workbook({"shop": shops, "shop_menu": MENUS, "회의록": [["a"], ["b"]], "user": [["name"], ["하늘"]]})
    )
    summaries = {sheet.name: sheet for sheet in reading.sheets}
    assert summaries["shop"].columns_ignored == ("memo",)
    assert (summaries["회의록"].kind, summaries["회의록"].rows_read) == ("not needed", 1)
    assert summaries["user"].kind == "private"


def test_ids_keep_their_zeros_as_text_and_lose_the_point_as_numbers(write_workbook: Write) -> None:
    shops: Rows = [SHOPS[0], ["0012345678", "봄날식당", "한식"], [12.0, "여름분식", "분식"]]
    menus: Rows = [MENUS[0], [1, "0012345678", "비빔밥", 7000], [2, "12", "떡볶이", 4500]]
    catalogue = read_workbook(write_workbook({"shop": shops, "shop_menu": menus})).catalogue
    assert {shop.shop_id for shop in catalogue.shops} == {"12", "0012345678"}
    assert {menu.shop_id for menu in catalogue.menus} == {"12", "0012345678"}


def test_anything_may_stand_above_the_header(write_workbook: Write) -> None:
    path = write_workbook({"shop": [["가게 목록"], [], ["작성", "2026-06-30"], *SHOPS], "shop_menu": MENUS})
    reading = read_workbook(path)
    assert len(reading.catalogue.shops) == 2
    summary = reading.sheet("shop")
    assert summary is not None and summary.header_row == 4


def test_header_cells_merged_downwards_keep_their_names(write_workbook: Write) -> None:
    path = write_workbook(
        {"shop": [["id", "가게", None], [None, "shopName", "category"], *SHOPS[1:]], "shop_menu": MENUS}
    )
    book = load_workbook(path)
    book["shop"].merge_cells("A1:A2")
    book["shop"].merge_cells("B1:C1")
    book.save(path)
    assert [shop.shop_id for shop in read_workbook(path).catalogue.shops] == ["1", "2"]


def test_a_header_in_the_middle_of_the_data_is_no_shop(write_workbook: Write) -> None:
    reading = read_workbook(write_workbook({"shop": [*SHOPS[:2], SHOPS[0], SHOPS[2]], "shop_menu": MENUS}))
    assert len(reading.catalogue.shops) == 2
    assert ("shop", 3, "repeated_header") in rules_of(reading)


def test_missing_columns_are_named_with_sheet_and_fix(write_workbook: Write) -> None:
    path = write_workbook(
        {"shop": [["id", "상점이름은여기"], [1, "봄"]], "shop_menu": [["id", "name", "price"], [1, "a", 2]]}
    )
    with pytest.raises(DataError) as caught:
        read_workbook(path)
    message = str(caught.value)
    assert "Sheet shop has no row with column names" in message
    assert "Sheet shop_menu lacks the columns shop_id" in message
    assert "id, name, price" in message, "what it has is shown beside what it lacks"
    assert "Export these tables" in message


@pytest.mark.parametrize(
    ("sheets", "said"),
    [
        ({"shop_menu": MENUS}, "There is no sheet shop."),
        ({"shop": [], "shop_menu": MENUS}, "Sheet shop is empty."),
        ({"shop": SHOPS}, "There is no sheet shop_menu."),
        ({"shop": [["id", "shopName"], [1, "봄"]], "shop_menu": MENUS}, "lacks the columns category"),
    ],
)
def test_a_workbook_without_what_is_needed_says_what(write_workbook: Write, sheets: dict[str, Rows], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_workbook(write_workbook(sheets))


def test_a_workbook_without_a_usable_shop_says_why_row_by_row(write_workbook: Write) -> None:
    shops: Rows = [[*SHOPS[0], "deleted_at"], [1, "봄날식당", "한식", "2026-01-01"], [2, None, "분식", None]]
    with pytest.raises(WorkbookError, match=r"no usable row \(2 read: .*marked as deleted") as caught:
        read_workbook(write_workbook({"shop": shops, "shop_menu": MENUS}))
    found = {(item.row, item.rule) for item in caught.value.findings if item.sheet == "shop"}
    assert found == {(2, "soft_deleted"), (3, "no_name")}


def test_a_header_alone_is_no_usable_shop(write_workbook: Write) -> None:
    with pytest.raises(WorkbookError, match=r"no usable row \(0 read\)"):
        read_workbook(write_workbook({"shop": SHOPS[:1], "shop_menu": MENUS}))


def test_a_welcome_sheet_without_its_columns_is_set_aside_not_fatal(write_workbook: Write) -> None:
    reading = read_workbook(
        write_workbook({"shop": SHOPS, "shop_menu": MENUS, "coupon": [["title", "amount"], ["봄 쿠폰", 500]]})
    )
    summary = reading.sheet("coupon")
    assert summary is not None and summary.kind == "unusable"
    assert summary.rows_read == summary.rows_used + sum(summary.refused.values()) == 1
    assert {item.column for item in reading.findings if item.rule == "missing_column"} == {"id"}


def test_shops_that_differ_by_spaces_become_one_with_all_menus(write_workbook: Write) -> None:
    shops: Rows = [
        [*SHOPS[0], "주소"],
        [1, "봄날 식당", "한식", "은하로 1"],
        [2, "봄날식당 ", "한식", "은하로  1"],
        [3, "봄날식당", "한식", "은하로 2"],
    ]
    menus: Rows = [*MENUS[:2], [2, 2, "된장찌개", 6500], [3, 3, "국수", 5000]]
    reading = read_workbook(write_workbook({"shop": shops, "shop_menu": menus}))
    assert [shop.shop_id for shop in reading.catalogue.shops] == ["1", "3"], "another address is another branch"
    assert [menu.shop_id for menu in reading.catalogue.menus] == ["1", "1", "3"]
    assert ("shop", 3, "duplicate_shop") in rules_of(reading)


def test_of_menus_with_one_name_the_dearest_stays(write_workbook: Write) -> None:
    menus: Rows = [MENUS[0], [1, 1, "탕수육", "시가"], [2, 1, "탕수육", 9000], [3, 1, "탕 수육", 15000]]
    reading = read_workbook(write_workbook({"shop": SHOPS, "shop_menu": menus}))
    assert [(menu.menu_id, menu.price) for menu in reading.catalogue.menus] == [("3", 15000)]


def test_the_second_column_of_a_shop_id_fills_the_gaps_of_the_first(write_workbook: Write) -> None:
    menus: Rows = [
        ["id", "shopId", "store_id", "name", "price"],
        [1, None, 1, "비빔밥", 7000],
        [2, 2, 1, "떡볶이", 4500],
        [3, 2, 2, "김밥", 3000],
    ]
    reading = read_workbook(write_workbook({"shop": SHOPS, "shop_menu": menus}))
    assert [menu.shop_id for menu in reading.catalogue.menus] == ["1", "2", "2"]
    assert [item.row for item in reading.findings if item.rule == "columns_disagree"] == [3]


def test_a_coupon_that_no_usable_place_takes_is_refused(write_workbook: Write) -> None:
    reading = read_workbook(
        write_workbook(
            {
                "shop": SHOPS,
                "shop_menu": MENUS,
                "coupon": [
                    ["id", "couponName", "discount_value", "endDate"],
                    [1, "봄 쿠폰", 500, "2026.12.31"],
                    [2, "빈 쿠폰", 500, None],
                ],
                "coupon_shop_map": [["coupon_id", "shop_id"], [1, 1], [2, 77]],
            }
        )
    )
    (coupon,) = reading.catalogue.coupons
    assert (coupon.coupon_id, coupon.shop_ids, coupon.valid_until) == ("1", ("1",), date(2026, 12, 31))
    assert coupon.valid_on(date(2026, 12, 31)) and not coupon.valid_on(date(2027, 1, 1))
    assert ("coupon", 3, "no_place") in rules_of(reading)
    assert ("coupon_shop_map", 3, "orphan_shop") in rules_of(reading)


def test_discounts_of_menus_without_a_price_are_gone(write_workbook: Write) -> None:
    menus: Rows = [[*MENUS[0], "discount_value"], [1, 1, "비빔밥", 50, 20]]
    (menu,) = read_workbook(write_workbook({"shop": SHOPS, "shop_menu": menus})).catalogue.menus
    assert (menu.price, menu.discount_value) == (None, None)


def test_a_workbook_is_read_once_until_its_content_changes(write_workbook: Write, kept: KeptResults) -> None:
    path = write_workbook({"shop": SHOPS, "shop_menu": MENUS})
    first = read_workbook_cached(path, kept)
    assert read_workbook_cached(path, kept) is first
    write_workbook({"shop": SHOPS[:2], "shop_menu": MENUS})
    assert len(read_workbook_cached(path, kept).catalogue.shops) == 1


def test_the_next_process_takes_the_reading_as_it_was_and_makes_the_same_of_it(
    kept: KeptResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped workbook, with all that is odd in it: equal to the last finding."""
    first = read_workbook_cached(SAMPLE, kept)
    workbook._read_content.cache_clear()  # as a process that just started
    with monkeypatch.context() as patch:
        patch.setattr(workbook, "read_workbook", lambda path: pytest.fail(f"{path} was read again"))
        again = read_workbook_cached(SAMPLE, kept)
    assert again is not first
    assert again == first
    assert again.catalogue.menus_by_shop == first.catalogue.menus_by_shop
    assert render(feature_report(again)) == render(feature_report(first))
    made = [make_dialogues(of.catalogue, "bot", 60, 1, 8000, refused=0.05) for of in (first, again)]
    assert made[0] == made[1]


def test_another_reader_reads_again(write_workbook: Write, kept: KeptResults, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_workbook({"shop": SHOPS, "shop_menu": MENUS})
    read_workbook_cached(path, kept)
    workbook._read_content.cache_clear()
    monkeypatch.setattr(workbook, "reader_code", lambda: "another")
    monkeypatch.setattr(workbook, "read_workbook", lambda _path: pytest.fail("read"))
    with pytest.raises(pytest.fail.Exception, match="read"):
        read_workbook_cached(path, kept)


def test_the_same_workbook_gives_the_same_reading(write_workbook: Write) -> None:
    path = write_workbook({"shop": SHOPS, "shop_menu": MENUS})
    assert read_workbook(path) == read_workbook(path)


def test_findings_are_written_so_that_no_spreadsheet_runs_them(tmp_path: Path) -> None:
    path = tmp_path / "findings.csv"
    write_findings([Finding("shop", 3, "name", "no_name", '=HYPERLINK("x")', "dropped")], path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["value"] == '\'=HYPERLINK("x")'
    assert (row["sheet"], row["row"], row["rule"], row["meaning"]) == ("shop", "3", "no_name", "no name")
