"""The shipped workbook against its ground truth: every planted trait, every row, every value."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from nabi.catalogue.model import Coupon, Menu, Shop
from nabi.catalogue.workbook import WorkbookReading

ROOT = Path(__file__).parents[3]
WORKBOOK = ROOT / "sample_data.xlsx"

SHEETS = (
    "shop",
    "shop_menu",
    "shop_menu_category",
    "shop_menu_option",
    "shop_menu_option_category",
    "brand",
    "products",
    "product_company",
    "product_order",
    "ticket",
    "coupon",
    "coupon_menu_map",
    "coupon_shop_map",
    "coupon_product_map",
    "coupon_user_map",
    "coop_coupon",
    "coop_brand",
    "coop_company",
    "coop_category",
    "giftcard",
    "giftcard_wallet",
    "giftcard_wallet_transaction",
    "review",
    "user",
    "user_location",
    "userfavorite",
    "point_transaction",
    "foodcard",
    "sponsor",
    "courier",
)

PLANTED = (
    "store_id_beside_shop_id",
    "store_id_disagrees",
    "orphan_key",
    "soft_deleted",
    "duplicate_shop",
    "flag_spelling",
    "flag_unreadable_sold_out",
    "price_as_text",
    "price_not_stated",
    "price_zero",
    "price_blank",
    "price_range",
    "hours_text",
    "hours_spoken",
    "hours_excel_time",
    "hours_24_00",
    "hours_excel_24_00",
    "hours_past_midnight",
    "hours_round_the_clock",
    "break_outside_hours",
    "emoji",
    "html",
    "phone",
    "decomposed_hangul",
    "formula_without_value",
    "id_with_leading_zeros",
    "duplicate_id",
    "not_for_children",
    "personal_text",
    "allergens_numbers",
)


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "tests/data/sample_data.truth.json").read_text(encoding="utf-8"))
    return loaded


def test_the_workbook_holds_exactly_the_thirty_sheets(sample_reading: WorkbookReading) -> None:
    assert sorted(sheet.name for sheet in sample_reading.sheets) == sorted(SHEETS)
    assert len(SHEETS) == 30


def test_every_kind_of_dirt_is_planted(truth: dict[str, Any]) -> None:
    assert set(PLANTED) <= {item["trait"] for item in truth["traits"]}


def test_the_workbook_has_both_case_styles_a_hidden_sheet_a_preamble_and_a_merged_header() -> None:
    book = load_workbook(WORKBOOK)
    names = [str(cell.value) for sheet in book for cell in sheet[sheet.max_row and 1]]
    assert any(re.fullmatch(r"[a-z]+[A-Z]\w+", name) for name in names)
    assert any(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)
    assert [sheet.title for sheet in book if sheet.sheet_state == "hidden"] == ["shop_menu_category"]
    assert str(book["shop_menu"]["A1"].value).startswith("※")
    assert "A1:A2" not in book["shop"].merged_cells and len(book["shop"].merged_cells.ranges) > 4


def test_every_shop_is_read_as_the_truth_has_it(sample_reading: WorkbookReading, truth: dict[str, Any]) -> None:
    assert {shop.shop_id: _shop(shop) for shop in sample_reading.catalogue.shops} == truth["shops"]


def test_every_menu_is_read_as_the_truth_has_it(sample_reading: WorkbookReading, truth: dict[str, Any]) -> None:
    expected = {key: {**menu, "allergens": _sorted(menu["allergens"])} for key, menu in truth["menus"].items()}
    assert {menu.menu_id: _menu(menu) for menu in sample_reading.catalogue.menus} == expected


def test_every_coupon_is_read_as_the_truth_has_it(sample_reading: WorkbookReading, truth: dict[str, Any]) -> None:
    assert {coupon.coupon_id: _coupon(coupon) for coupon in sample_reading.catalogue.coupons} == truth["coupons"]


def test_exactly_the_rows_that_must_go_are_refused_and_for_the_right_reason(
    sample_reading: WorkbookReading, truth: dict[str, Any]
) -> None:
    dropped = {(item.sheet, item.row, item.rule) for item in sample_reading.findings if item.action == "dropped"}
    assert dropped == {(item["sheet"], item["row"], item["rule"]) for item in truth["refused"]}


def test_every_planted_trait_is_reported_at_its_cell(sample_reading: WorkbookReading, truth: dict[str, Any]) -> None:
    found = {(item.sheet, item.row, item.column, item.rule) for item in sample_reading.findings}
    reportable = [item for item in truth["traits"] if item["rule"]]
    missing = [item for item in reportable if (item["sheet"], item["row"], item["column"], item["rule"]) not in found]
    assert not missing
    assert len(reportable) > 100


def test_no_row_is_lost_without_a_word(sample_reading: WorkbookReading, truth: dict[str, Any]) -> None:
    for sheet in sample_reading.sheets:
        planted = truth["sheets"][sheet.name]
        assert sheet.hidden == planted["hidden"]
        assert sheet.rows_read == planted["rows"]
        if sheet.kind == "read":
            assert sheet.header_row == planted["header_row"]
            assert sheet.rows_read == sheet.rows_used + sum(sheet.refused.values())


def test_nothing_about_people_reaches_the_catalogue(sample_reading: WorkbookReading) -> None:
    """Names, phones, mails, cards, homes of users and of owners, looked for in every text of the catalogue."""
    secrets = _people(load_workbook(WORKBOOK))
    catalogue = sample_reading.catalogue
    said = "\n".join(repr(item) for item in (*catalogue.shops, *catalogue.menus, *catalogue.coupons))
    assert len(secrets) > 900
    assert [secret for secret in secrets if secret in said] == []


def test_review_snippets_are_whole_harmless_reviews(sample_reading: WorkbookReading, truth: dict[str, Any]) -> None:
    snippets = {text for shop in sample_reading.catalogue.shops for text in shop.review_snippets}
    assert snippets
    assert snippets <= set(truth["review_texts"])


def test_findings_never_repeat_what_is_private(sample_reading: WorkbookReading) -> None:
    assert not [item for item in sample_reading.findings if re.search(r"01\d[- ]?\d{3,4}|@|학년|nabi1234", item.value)]


def test_the_script_makes_the_shipped_files_again(tmp_path: Path) -> None:
    """Same parts, whatever the zip library; same truth; and the same bytes for two runs on one machine."""
    made = [_make(tmp_path, number) for number in range(2)]
    assert made[0].read_bytes() == made[1].read_bytes()
    with zipfile.ZipFile(WORKBOOK) as shipped, zipfile.ZipFile(made[0]) as again:
        assert shipped.namelist() == again.namelist()
        assert [name for name in again.namelist() if shipped.read(name) != again.read(name)] == []
    shipped_truth = (ROOT / "tests/data/sample_data.truth.json").read_bytes()
    assert made[0].with_suffix(".json").read_bytes() == shipped_truth


def _make(folder: Path, number: int) -> Path:
    out = folder / f"{number}.xlsx"
    script = [sys.executable, str(ROOT / "scripts/make_sample_data.py")]
    subprocess.run([*script, "--out", out, "--truth", out.with_suffix(".json")], check=True, capture_output=True)
    return out


def _people(book: Any) -> set[str]:
    """Cells of the sheets about people, and of the columns about owners, that are long enough to mean something."""
    columns = {
        "user": ("name", "nickName", "phone", "email", "guardian_phone"),
        "user_location": ("address",),
        "foodcard": ("card_no", "card_holder"),
        "product_order": ("receiver_name", "receiver_phone", "address"),
        "shop": ("ownerName", "phone", "business_no"),
    }
    secrets: set[str] = set()
    for name, wanted in columns.items():
        sheet = book[name]
        header = 2 if name == "shop" else 1
        places = [cell.column for row in (1, header) for cell in sheet[row] if cell.value in wanted]
        for row in sheet.iter_rows(min_row=header + 1, values_only=True):
            secrets |= {str(row[place - 1]) for place in places if row[place - 1] is not None}
    return secrets


def _clock(moment: time | None) -> str | None:
    return None if moment is None else f"{moment:%H:%M}"


def _sorted(names: Any) -> list[str] | None:
    return None if names is None else sorted(names)


def _shop(shop: Shop) -> dict[str, Any]:
    hours = shop.hours
    return {
        "name": shop.name,
        "category": shop.category,
        "good": shop.is_good_influence,
        "message": shop.message,
        "delivers": shop.delivers,
        "fee": shop.delivery_fee,
        "min_order": shop.min_order,
        "address": shop.address,
        "hours": hours
        and [_clock(moment) for moment in (hours.opens, hours.closes, hours.break_starts, hours.break_ends)],
        "closed_days": sorted(shop.closed_days),
        "rating": shop.rating,
        "favorites": shop.num_favorites,
    }


def _menu(menu: Menu) -> dict[str, Any]:
    return {
        "shop_id": menu.shop_id,
        "name": menu.name,
        "price": menu.price,
        "description": menu.description,
        "allergens": _sorted(menu.allergens),
        "best": menu.is_best,
        "sold_out": menu.is_sold_out,
        "discount": menu.discount_value,
        "category": menu.category,
    }


def _coupon(coupon: Coupon) -> dict[str, Any]:
    return {
        "name": coupon.name,
        "value": coupon.value,
        "percent": coupon.percent,
        "min_order": coupon.min_order,
        "valid_from": str(coupon.valid_from),
        "valid_until": str(coupon.valid_until),
        "shops": sorted(coupon.shop_ids),
        "menus": sorted(coupon.menu_ids),
    }
