"""What a correct reader must conclude from the workbook, as JSON."""

from __future__ import annotations

from typing import Any

from sample_data import words
from sample_data.hands import clock
from sample_data.world import Row, World


def truth(world: World, seed: int) -> dict[str, Any]:
    """What a correct reader must conclude, as JSON."""
    numbers = {
        id(row): sheet.header_row + place
        for sheet in world.sheets.values()
        for place, row in enumerate(sheet.rows, start=1)
    }
    refused = [*world.refused, *_maps_to_refused_menus(world)]
    return {
        "about": "Made by scripts/make_sample_data.py together with sample_data.xlsx. Rows are numbered as in Excel.",
        "seed": seed,
        "sheets": {
            sheet.name: {"rows": len(sheet.rows), "header_row": sheet.header_row, "hidden": sheet.hidden}
            for sheet in world.sheets.values()
        },
        "shops": {key: _shop_record(world, key) for key in sorted(world.shops)},
        "menus": {key: world.menus[key] for key in sorted(world.menus)},
        "coupons": {key: _coupon_record(world, key) for key in sorted(world.coupons)},
        "review_texts": sorted(words.REVIEWS),
        "refused": [
            {"sheet": sheet, "row": numbers[id(row)], "id": _plain(row.get("id")), "rule": rule}
            for sheet, row, rule in refused
        ],
        "traits": [
            {
                "trait": trait,
                "sheet": sheet,
                "row": numbers[id(row)],
                "id": _plain(row.get("id")),
                "column": column,
                "cell": _plain(row.get(column)),
                "rule": rule,
            }
            for trait, sheet, row, column, rule in world.traits
        ],
    }


def _maps_to_refused_menus(world: World) -> list[tuple[str, Row, str]]:
    done = {id(row) for _, row, _ in world.refused}
    rows = world.sheets["coupon_menu_map"].rows
    return [
        ("coupon_menu_map", row, "menu_refused")
        for row in rows
        if id(row) not in done and str(row["menu_id"]) not in world.menus
    ]


def _shop_record(world: World, shop_id: str) -> dict[str, Any]:
    """A shop as the catalogue must hold it; times as HH:MM, a closing time of 24:00 as 00:00."""
    shop = world.shops[shop_id]
    times = [
        None if minutes is None else clock(minutes % 1440)
        for minutes in (shop["opens"], shop["closes"], *(shop["pause"] or (None, None)))
    ]
    kept = {
        key: shop[key] for key in ("name", "category", "good", "message", "delivers", "fee", "min_order", "address")
    }
    ratings = [rating for row in _reviews_of(world, shop_id) if (rating := _rating(row["rating"])) is not None]
    return {
        **kept,
        "hours": None if shop["opens"] is None else times,
        "closed_days": list(shop["closed_days"]),
        "rating": round(sum(ratings) / len(ratings), 2) if ratings else None,
        "favorites": sum(_merged(world, row["shopId"]) == shop_id for row in _kept(world, "userfavorite")),
    }


def _kept(world: World, sheet: str) -> list[Row]:
    refused = {id(row) for name, row, _ in world.refused if name == sheet}
    return [row for row in world.sheets[sheet].rows if id(row) not in refused]


def _merged(world: World, shop_id: Any) -> str:
    return world.merged.get(str(shop_id), str(shop_id))


def _reviews_of(world: World, shop_id: str) -> list[Row]:
    return [
        row for row in _kept(world, "review") if _merged(world, row.get("shop_id") or row.get("store_id")) == shop_id
    ]


def _rating(cell: Any) -> int | None:
    text = str(cell).removesuffix("점")
    return int(text) if text in "12345" and len(text) == 1 else None


def _coupon_record(world: World, coupon_id: str) -> dict[str, Any]:
    coupon = world.coupons[coupon_id]
    return {**coupon, "menus": [menu_id for menu_id in coupon["menus"] if menu_id in world.menus]}


def _plain(cell: Any) -> Any:
    """A cell as JSON can hold it."""
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)
