"""The sheets while they are made, and what a correct reader must find in them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SHOWCASE = "해맑은분식"
"""A shop that stays clean, so that examples can count on it."""

Row = dict[str, Any]


@dataclass
class Sheet:
    """One table of the export. `above` are rows before the header; `merged` are header groups over columns."""

    name: str
    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    above: list[list[Any]] = field(default_factory=list)
    merged: tuple[tuple[str, str, str], ...] = ()
    hidden: bool = False

    @property
    def header_row(self) -> int:
        """The row of the column names, as Excel numbers it."""
        return len(self.above) + (1 if self.merged else 0) + 1


@dataclass
class World:
    """The sheets while they are made, and what a correct reader must find in them."""

    rng: random.Random
    sheets: dict[str, Sheet]
    shops: dict[str, Row] = field(default_factory=dict)
    menus: dict[str, Row] = field(default_factory=dict)
    coupons: dict[str, Row] = field(default_factory=dict)
    refused: list[tuple[str, Row, str]] = field(default_factory=list)
    traits: list[tuple[str, str, Row, str, str | None]] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    free: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, sheet: str, **row: Any) -> Row:
        """Append a row; columns left out are blank, `id` counts up unless given."""
        table = self.sheets[sheet]
        unknown = set(row) - set(table.columns)
        if unknown:
            raise KeyError(f"{sheet} has no column {sorted(unknown)}")
        if "id" in table.columns:
            row.setdefault("id", len(table.rows) + 1)
        table.rows.append(row)
        return row

    def take(self, sheet: str, fits: Callable[[Row], bool] = lambda row: True) -> Row:
        """A row of `sheet` that no other trait has touched."""
        pool = self.free[sheet]
        row = next(row for row in pool if fits(row))
        pool[:] = [other for other in pool if other is not row]
        return row

    def plant(self, trait: str, sheet: str, row: Row, column: str, rule: str | None) -> None:
        """Note a planted trait; `rule` is what a reader reports there, None when it has nothing to report."""
        self.traits.append((trait, sheet, row, column, rule))

    def forget(self, sheet: str, row: Row, column: str | None = None) -> None:
        """Take back what was planted in a row, or in one column of it, because something else overwrites it."""
        self.traits = [
            item for item in self.traits if item[2] is not row or item[1] != sheet or column not in (None, item[3])
        ]

    def refuse(self, sheet: str, row: Row, rule: str) -> None:
        self.refused.append((sheet, row, rule))


def schema() -> dict[str, Sheet]:
    """The thirty tables with their columns, spelled as inconsistently as grown databases spell them."""
    columns = {
        "shop": "id shopName category brand_id business_no ownerName phone address latitude longitude shop_message "
        "isGoodInfluenceShop openHour closeHour break_time closedDays is_delivery deliveryFee min_order_price status "
        "createdAt updated_at deletedAt",
        "shop_menu": "id store_id menuCategoryId menu_name price discount_value description allergens is_best "
        "isSoldOut image_url sort_order created_at deleted_at",
        "shop_menu_category": "id shopId category_name sortOrder is_deleted",
        "shop_menu_option_category": "id menu_id name isRequired max_select",
        "shop_menu_option": "id optionCategoryId name price is_sold_out",
        "brand": "id brandName company logo_url",
        "products": "id productName company_id price stock is_deleted",
        "product_company": "id name ceo_name phone",
        "product_order": "id userId product_id qty total orderedAt receiver_name receiver_phone address",
        "ticket": "id user_id shopId amount used_at status",
        "coupon": "id couponName discount_type discount_value minOrderPrice start_date endDate is_active deleted_at",
        "coupon_menu_map": "id couponId menu_id",
        "coupon_shop_map": "id coupon_id shopId",
        "coupon_product_map": "id couponId productId",
        "coupon_user_map": "id coupon_id userId used_at",
        "coop_coupon": "id coopBrandId coop_category_id name price valid_days",
        "coop_brand": "id brand_name companyId",
        "coop_company": "id name contact_phone",
        "coop_category": "id name sortOrder",
        "giftcard": "id name faceValue is_active",
        "giftcard_wallet": "id userId giftcard_id balance",
        "giftcard_wallet_transaction": "id walletId amount kind created_at",
        "review": "id userId shop_id store_id rating content created_at is_blind deletedAt",
        "user": "id name nickName phone email birth guardian_phone created_at withdrawnAt",
        "user_location": "id user_id lat lng address",
        "userfavorite": "id userId shopId created_at is_deleted",
        "point_transaction": "id user_id point reason createdAt",
        "foodcard": "id userId card_no card_holder issuer daily_limit expiresAt",
        "sponsor": "id name contact_name phone amount",
        "courier": "id name phone tracking_url",
    }
    return {name: Sheet(name, tuple(names.split())) for name, names in columns.items()}
