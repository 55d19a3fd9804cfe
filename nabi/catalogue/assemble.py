"""From checked tables to the catalogue: keys resolved, doubles merged, what belongs together put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from nabi.catalogue.cells import Benefit
from nabi.catalogue.checks import (
    COUPON_RULES,
    FAVORITE_RULES,
    MAP_RULES,
    MENU_RULES,
    NAMED,
    REVIEW_RULES,
    SHOP_RULES,
    UNIQUE,
    check_rows,
    known_key,
)
from nabi.catalogue.findings import WITHHELD, Finding, Ledger
from nabi.catalogue.model import Catalogue, Coupon, Menu, Shop
from nabi.catalogue.tables import Table, TableRow, shown
from nabi.catalogue.texts import name_key

MAX_SNIPPETS = 3
SNIPPET_FROM_RATING = 4
"""Only words of content guests are repeated to a child."""


@dataclass(frozen=True, slots=True)
class _Keys:
    """Ids of a table: those in use, those ever seen, and doubles with the id that they stand for."""

    usable: frozenset[str]
    seen: frozenset[str]
    merged: Mapping[str, str] = field(default_factory=dict)


def assemble(tables: Mapping[str, Table], ledger: Ledger, digest: str) -> Catalogue:
    """The catalogue of a workbook's tables, by the name of their specification; refusals go to the ledger."""
    shop_table, menu_table = tables["shop"], tables["shop_menu"]
    shop_keys = _settle_shops(shop_table, ledger)
    categories = _settle_categories(tables.get("shop_menu_category"), ledger)
    menu_keys = _settle_menus(menu_table, shop_keys, categories, ledger)
    coupons = _settle_coupons(tables, shop_keys, menu_keys, ledger)
    opinions = _settle_reviews(tables.get("review"), shop_keys, ledger)
    favorites = _settle_favorites(tables.get("userfavorite"), shop_keys, ledger)
    shops = [
        _shop(row, opinions.get(row.values["id"], []), favorites.get(row.values["id"], 0)) for row in shop_table.rows
    ]
    menus = [_menu(row, categories) for row in menu_table.rows]
    return Catalogue(
        shops=tuple(sorted(shops, key=lambda shop: _id_order(shop.shop_id))),
        menus=tuple(sorted(menus, key=lambda menu: _id_order(menu.menu_id))),
        coupons=tuple(sorted(coupons, key=lambda coupon: _id_order(coupon.coupon_id))),
        source_digest=digest,
    )


def _id_order(identifier: str) -> tuple[int, str]:
    """Numbers in their order, though they are text: 2 before 10."""
    return len(identifier), identifier


def _ids(table: Table) -> frozenset[str]:
    return frozenset(row.values["id"] for row in table.rows if row.values["id"] is not None)


def _settle_shops(table: Table, ledger: Ledger) -> _Keys:
    seen = _ids(table)
    check_rows(table, SHOP_RULES, ledger)
    check_rows(table, UNIQUE, ledger)
    first: dict[tuple[str, str], str] = {}
    merged: dict[str, str] = {}
    doubles: set[int] = set()
    for row in table.rows:
        key = name_key(row.values["name"]), name_key(row.values["address"] or "")
        kept = first.setdefault(key, row.values["id"])
        if kept != row.values["id"]:
            merged[row.values["id"]] = kept
            doubles.add(row.number)
            note = f"the same as shop {kept}"
            column = table.column_name("name")
            ledger.note(
                Finding(table.name, row.number, column, "duplicate_shop", shown(row.values["name"]), "dropped", note)
            )
    table.without(doubles)
    return _Keys(_ids(table), seen, merged)


def _settle_categories(table: Table | None, ledger: Ledger) -> dict[str, str]:
    """Names of menu categories by id."""
    if table is None:
        return {}
    check_rows(table, NAMED, ledger)
    check_rows(table, UNIQUE, ledger)
    return {row.values["id"]: row.values["name"] for row in table.rows}


def _follow_merges(table: Table, keys: _Keys) -> None:
    """Let rows of a double point to the shop that it stands for."""
    for row in table.rows:
        row.values["shop_id"] = keys.merged.get(row.values["shop_id"], row.values["shop_id"])


def _settle_menus(table: Table, shops: _Keys, categories: Mapping[str, str], ledger: Ledger) -> _Keys:
    seen = _ids(table)
    _follow_merges(table, shops)
    check_rows(table, MENU_RULES, ledger)
    check_rows(table, UNIQUE, ledger)
    check_rows(table, known_key("shop_id", "shop", shops.usable, shops.seen), ledger)
    if categories:
        orphan, _ = known_key("category_id", "category", categories, categories, "kept_without")
        check_rows(table, (orphan,), ledger)
    _drop_double_menus(table, ledger)
    return _Keys(_ids(table), seen)


def _drop_double_menus(table: Table, ledger: Ledger) -> None:
    """Of menus of one name in one shop the dearest stays, so that a child is never short of money."""
    groups: dict[tuple[str, str], list[TableRow]] = {}
    for row in table.rows:
        groups.setdefault((row.values["shop_id"], name_key(row.values["name"])), []).append(row)
    dropped: set[int] = set()
    for rows in groups.values():
        kept = max(rows, key=lambda row: (row.values["price"] or 0, -row.number))
        for row in rows:
            if row is not kept:
                dropped.add(row.number)
                note = f"the same as in row {kept.number}"
                column, name = table.column_name("name"), shown(row.values["name"])
                ledger.note(Finding(table.name, row.number, column, "duplicate_menu", name, "dropped", note))
    table.without(dropped)


def _settle_coupons(tables: Mapping[str, Table], shops: _Keys, menus: _Keys, ledger: Ledger) -> list[Coupon]:
    table = tables.get("coupon")
    if table is None:
        return []
    seen = _ids(table)
    check_rows(table, COUPON_RULES, ledger)
    check_rows(table, UNIQUE, ledger)
    keys = _Keys(_ids(table), seen)
    for name in ("coupon_shop_map", "coupon_menu_map"):
        if name in tables:
            check_rows(tables[name], MAP_RULES, ledger)
            check_rows(tables[name], known_key("coupon_id", "coupon", keys.usable, keys.seen), ledger)
    of_shops = _linked(tables.get("coupon_shop_map"), "shop", shops, ledger)
    of_menus = _linked(tables.get("coupon_menu_map"), "menu", menus, ledger)
    coupons, homeless = [], set()
    for row in table.rows:
        coupon_id = row.values["id"]
        places = of_shops.get(coupon_id, []), of_menus.get(coupon_id, [])
        if any(places):
            coupons.append(_coupon(row, *places))
        else:
            homeless.add(row.number)
            ledger.note(Finding(table.name, row.number, table.column_name("id"), "no_place", coupon_id, "dropped"))
    table.without(homeless)
    return coupons


def _linked(table: Table | None, noun: str, targets: _Keys, ledger: Ledger) -> dict[str, list[str]]:
    """What each coupon is mapped to, by the coupon's id; `noun` is shop or menu."""
    if table is None:
        return {}
    field = f"{noun}_id"
    if noun == "shop":
        _follow_merges(table, targets)
    check_rows(table, known_key(field, noun, targets.usable, targets.seen), ledger)
    links: dict[str, list[str]] = {}
    for row in table.rows:
        links.setdefault(row.values["coupon_id"], []).append(row.values[field])
    return links


def _coupon(row: TableRow, shop_ids: Collection[str], menu_ids: Collection[str]) -> Coupon:
    benefit: Benefit = row.values["benefit"]
    return Coupon(
        coupon_id=row.values["id"],
        name=row.values["name"],
        value=benefit.value,
        shop_ids=tuple(sorted(set(shop_ids), key=_id_order)),
        menu_ids=tuple(sorted(set(menu_ids), key=_id_order)),
        percent=benefit.percent,
        min_order=row.values["min_order"],
        valid_from=row.values["valid_from"],
        valid_until=row.values["valid_until"],
    )


def _settle_reviews(table: Table | None, shops: _Keys, ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Ratings and words by shop."""
    if table is None:
        return {}
    _follow_merges(table, shops)
    check_rows(table, REVIEW_RULES, ledger)
    check_rows(table, known_key("shop_id", "shop", shops.usable, shops.seen), ledger)
    opinions: dict[str, list[dict[str, Any]]] = {}
    for row in table.rows:
        opinions.setdefault(row.values["shop_id"], []).append(row.values)
    return opinions


def _settle_favorites(table: Table | None, shops: _Keys, ledger: Ledger) -> dict[str, int]:
    """How many users marked each shop."""
    if table is None:
        return {}
    _follow_merges(table, shops)
    check_rows(table, FAVORITE_RULES, ledger)
    check_rows(table, known_key("shop_id", "shop", shops.usable, shops.seen), ledger)
    pairs: set[tuple[str, str]] = set()
    counts: dict[str, int] = {}
    doubles: set[int] = set()
    for row in table.rows:
        pair = row.values["user_id"], row.values["shop_id"]
        if pair in pairs:
            doubles.add(row.number)
            column = table.column_name("user_id")
            ledger.note(Finding(table.name, row.number, column, "duplicate_favorite", WITHHELD, "dropped"))
            continue
        pairs.add(pair)
        counts[pair[1]] = counts.get(pair[1], 0) + 1
    table.without(doubles)
    return counts


def _shop(row: TableRow, opinions: list[dict[str, Any]], favorites: int) -> Shop:
    values = row.values
    ratings = [opinion["rating"] for opinion in opinions if opinion["rating"] is not None]
    return Shop(
        shop_id=values["id"],
        name=values["name"],
        category=values["category"],
        is_good_influence=bool(values["good"]),
        message=values["message"],
        hours=values["hours"],
        closed_days=values["closed_days"] or frozenset(),
        address=values["address"],
        delivers=values["delivers"],
        rating=round(sum(ratings) / len(ratings), 2) if ratings else None,
        num_favorites=favorites,
        review_snippets=_snippets(opinions),
        delivery_fee=values["delivery_fee"],
        min_order=values["min_order"],
    )


def _snippets(opinions: list[dict[str, Any]]) -> tuple[str, ...]:
    """The words of the best-rated reviews, each once; of equals the earlier row comes first."""
    content = [item for item in opinions if item["content"] and (item["rating"] or 0) >= SNIPPET_FROM_RATING]
    best = sorted(content, key=lambda item: -item["rating"])
    return tuple(dict.fromkeys(item["content"] for item in best))[:MAX_SNIPPETS]


def _menu(row: TableRow, categories: Mapping[str, str]) -> Menu:
    values = row.values
    return Menu(
        menu_id=values["id"],
        shop_id=values["shop_id"],
        name=values["name"],
        price=values["price"],
        category=categories.get(values["category_id"] or "", values["category"]),
        description=values["description"],
        is_best=bool(values["is_best"]),
        is_sold_out=bool(values["is_sold_out"]),
        discount_value=values["discount_value"] if values["price"] else None,
        allergens=values["allergens"],
    )
