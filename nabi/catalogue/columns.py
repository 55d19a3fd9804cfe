"""Which sheets and columns the catalogue needs, under which names they may stand, and how each is read.

Names are compared without case, white space and punctuation: shopName, shop_name and "Shop Name" are one. Sheets
that are not listed here are never parsed; those about people can't be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nabi.catalogue import cells
from nabi.catalogue.allergens import parse_allergens, without_note
from nabi.catalogue.cells import Reading, is_blank, problem
from nabi.catalogue.findings import Problem
from nabi.catalogue.hours import parse_closed_days, parse_hours
from nabi.catalogue.raw import Unset
from nabi.catalogue.texts import (
    MAX_MESSAGE,
    MAX_SNIPPET,
    clean,
    has_long_number,
    is_personal,
    name_key,
    not_for_children,
    shorten,
)

Parser = Callable[..., Reading[Any]]
NO_CATEGORY = "기타"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet. `names` are tried in order; with `merge` all that are found count, the first filled wins."""

    key: str
    names: tuple[str, ...]
    required: bool = False
    merge: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A value read from one or several columns of a row; `private` values are never repeated in a finding."""

    name: str
    columns: tuple[str, ...]
    parse: Parser
    private: bool = False


@dataclass(frozen=True, slots=True)
class SheetSpec:
    """A sheet that the catalogue needs. Without a `required` one there is no catalogue."""

    name: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    fields: tuple[Field, ...]
    required: bool = False

    def column(self, key: str) -> Column:
        return next(column for column in self.columns if column.key == key)


def bare_name(name: str) -> str:
    """A sheet's or column's name as names are compared: shopName → shopname, "Shop_Name " → shopname."""
    return name_key(name)


def parse_text(cell: Any) -> Reading[str]:
    """A text as it may be said to a child; None when nothing of it may be."""
    return _parse_text(cell, MAX_MESSAGE)


def parse_description(cell: Any) -> Reading[str]:
    """A menu's description, without the allergens that it names."""
    return _parse_text(without_note(cell) if isinstance(cell, str) else cell, MAX_MESSAGE)


def parse_snippet(cell: Any) -> Reading[str]:
    """A few words of a review; None when they may be about a person."""
    reading = _parse_text(cell, MAX_SNIPPET)
    if is_blank(cell):
        return reading
    told = {item.rule for item in reading.problems}
    if told & {"phone", "email", "web_address", "long_number"} or is_personal(clean(str(cell))[0]):
        return Reading(None, problem("personal_text"))
    return reading


def _parse_text(cell: Any, limit: int) -> Reading[str]:
    if is_blank(cell):
        return Reading()
    if cell is Unset.FORMULA:
        return Reading(None, problem("formula_without_value"))
    text, rules = clean(str(cell))
    problems = tuple(Problem(rule) for rule in rules)
    if has_long_number(text):
        return Reading(None, (*problems, Problem("long_number")))
    if not_for_children(text):
        return Reading(None, (*problems, Problem("not_for_children")))
    return Reading(shorten(text, limit) or None, problems)


def parse_name(cell: Any) -> Reading[str]:
    """A name in plain letters; its length and fitness are checked with the row."""
    if is_blank(cell):
        return Reading()
    if cell is Unset.FORMULA:
        return Reading(None, problem("formula_without_value"))
    text, rules = clean(str(cell))
    return Reading(text or None, tuple(Problem(rule) for rule in rules))


CATEGORIES = ("한식", "분식", "중식", "일식", "치킨", "피자", "편의점", "카페·베이커리", "패스트푸드", "도시락")
_SAME_CATEGORY = {
    "카페·베이커리": ("카페", "베이커리", "제과점", "빵집", "베이커리카페"),
    "패스트푸드": ("햄버거", "버거"),
    "중식": ("중국집", "중국요리", "중화요리"),
    "일식": ("일본음식",),
    "한식": ("백반", "한정식"),
    "분식": ("분식점",),
    "치킨": ("치킨집",),
    "피자": ("피자집",),
}
_CATEGORY_NAMES = {name_key(name): name for name in CATEGORIES} | {
    other: name for name, others in _SAME_CATEGORY.items() for other in others
}


def parse_category(cell: Any) -> Reading[str]:
    """A shop's category in one spelling; unknown ones stay as they are written, a missing one becomes 기타."""
    if is_blank(cell):
        return Reading(NO_CATEGORY, problem("no_category"))
    reading = parse_name(cell)
    if reading.value is None:
        return Reading(NO_CATEGORY, (*reading.problems, Problem("no_category")))
    return Reading(_CATEGORY_NAMES.get(name_key(reading.value), reading.value), reading.problems)


def _column(key: str, *names: str, required: bool = False, merge: bool = False) -> Column:
    return Column(key, tuple(bare_name(name) for name in names), required, merge)


def _id(*names: str) -> Column:
    return _column("id", *names, required=True)


_SHOP_ID = _column("shop_id", "shop_id", "store_id", "shopNo", "가게id", required=True, merge=True)
_MENU_ID = _column("menu_id", "menu_id", "shop_menu_id", required=True)
_COUPON_ID = _column("coupon_id", "coupon_id", required=True)
_DELETED = (
    _column("deleted_at", "deleted_at", "deletedDate", "삭제일"),
    _column("is_deleted", "is_deleted", "deleted", "del_yn", "삭제여부"),
)
_READ_ID = Field("id", ("id",), cells.parse_id)
_READ_SHOP_ID = Field("shop_id", ("shop_id",), cells.parse_id)
_READ_DELETED = Field("deleted", ("deleted_at", "is_deleted"), cells.parse_deleted)

SHOP = SheetSpec(
    "shop",
    ("shop", "shops", "store", "stores", "가게"),
    (
        _id("id", "shop_id", "store_id", "가게id"),
        _column("name", "shop_name", "name", "store_name", "가게명", "상호", required=True),
        _column("category", "category", "shop_category", "category_name", "분류", "업종", required=True),
        _column("address", "address", "road_address", "주소"),
        _column("message", "shop_message", "message", "introduction", "사장님말씀", "소개"),
        _column("good", "is_good_influence_shop", "is_good_influence", "good_influence", "선한영향력", "착한가게"),
        _column("open_hour", "open_hour", "open_hours", "opening_hours", "business_hours", "open_time", "영업시간"),
        _column("close_hour", "close_hour", "close_time", "closing_time", "종료시간"),
        _column("break_time", "break_time", "break", "break_hours", "휴게시간"),
        _column("break_start", "break_start", "break_start_time"),
        _column("break_end", "break_end", "break_end_time"),
        _column("closed_days", "closed_days", "closed_day", "holiday", "휴무일", "휴무"),
        _column("delivers", "is_delivery", "delivery", "is_delivery_available", "delivers", "배달"),
        _column("delivery_fee", "delivery_fee", "delivery_price", "배달비"),
        _column("min_order", "min_order_price", "min_order", "minimum_order_price", "최소주문금액"),
        _column("status", "status", "shop_status", "상태"),
        *_DELETED,
    ),
    (
        _READ_ID,
        Field("name", ("name",), parse_name),
        Field("category", ("category",), parse_category),
        Field("address", ("address",), parse_text),
        Field("message", ("message",), parse_text),
        Field("good", ("good",), cells.parse_flag),
        Field("hours", ("open_hour", "close_hour", "break_time", "break_start", "break_end"), parse_hours),
        Field("closed_days", ("closed_days",), parse_closed_days),
        Field("delivers", ("delivers",), cells.parse_flag),
        Field("delivery_fee", ("delivery_fee",), cells.parse_fee),
        Field("min_order", ("min_order",), cells.parse_fee),
        Field("closed_down", ("status",), cells.parse_closed_down),
        _READ_DELETED,
    ),
    required=True,
)

MENU = SheetSpec(
    "shop_menu",
    ("shop_menu", "shop_menus", "menu", "menus", "store_menu", "메뉴"),
    (
        _id("id", "menu_id", "shop_menu_id", "메뉴id"),
        _SHOP_ID,
        _column("category_id", "menu_category_id", "shop_menu_category_id", "category_id"),
        _column("category", "category", "category_name", "menu_category", "메뉴분류"),
        _column("name", "menu_name", "name", "메뉴명", required=True),
        _column("price", "price", "menu_price", "가격", required=True),
        _column("discount_value", "discount_value", "discount", "discount_price", "할인"),
        _column("description", "description", "menu_description", "설명"),
        _column("allergens", "allergens", "allergen", "allergy_info", "allergy", "알레르기"),
        _column("is_best", "is_best", "best", "is_popular", "대표메뉴"),
        _column("is_sold_out", "is_sold_out", "sold_out", "soldout", "품절"),
        *_DELETED,
    ),
    (
        _READ_ID,
        _READ_SHOP_ID,
        Field("category_id", ("category_id",), cells.parse_id),
        Field("category", ("category",), parse_name),
        Field("name", ("name",), parse_name),
        Field("price", ("price",), cells.parse_price),
        Field("discount_value", ("discount_value", "price"), cells.parse_discount),
        Field("description", ("description",), parse_description),
        Field("allergens", ("allergens", "description"), parse_allergens),
        Field("is_best", ("is_best",), cells.parse_flag),
        Field("is_sold_out", ("is_sold_out",), cells.parse_careful_flag),
        _READ_DELETED,
    ),
    required=True,
)

MENU_CATEGORY = SheetSpec(
    "shop_menu_category",
    ("shop_menu_category", "shop_menu_categories", "menu_category", "메뉴분류"),
    (_id("id", "menu_category_id"), _column("name", "category_name", "name", "메뉴분류", required=True), *_DELETED),
    (_READ_ID, Field("name", ("name",), parse_name), _READ_DELETED),
)

COUPON = SheetSpec(
    "coupon",
    ("coupon", "coupons", "쿠폰"),
    (
        _id("id", "coupon_id"),
        _column("name", "coupon_name", "name", "title", "쿠폰명", required=True),
        _column("discount_value", "discount_value", "value", "amount", "discount", "할인", required=True),
        _column("discount_type", "discount_type", "type", "coupon_type"),
        _column("min_order", "min_order_price", "min_order", "minimum_order_price"),
        _column("valid_from", "start_date", "valid_from", "started_at", "start_at"),
        _column("valid_until", "end_date", "valid_until", "expired_at", "expires_at", "end_at"),
        _column("active", "is_active", "active", "use_yn"),
        *_DELETED,
    ),
    (
        _READ_ID,
        Field("name", ("name",), parse_name),
        Field("benefit", ("discount_value", "discount_type"), cells.parse_benefit),
        Field("min_order", ("min_order",), cells.parse_fee),
        Field("valid_from", ("valid_from",), cells.parse_date),
        Field("valid_until", ("valid_until",), cells.parse_date),
        Field("active", ("active",), cells.parse_flag),
        _READ_DELETED,
    ),
)

COUPON_SHOP = SheetSpec(
    "coupon_shop_map",
    ("coupon_shop_map", "coupon_shop", "shop_coupon_map"),
    (_COUPON_ID, _SHOP_ID, *_DELETED),
    (Field("coupon_id", ("coupon_id",), cells.parse_id), _READ_SHOP_ID, _READ_DELETED),
)

COUPON_MENU = SheetSpec(
    "coupon_menu_map",
    ("coupon_menu_map", "coupon_menu", "menu_coupon_map", "coupon_shop_menu_map"),
    (_COUPON_ID, _MENU_ID, *_DELETED),
    (Field("coupon_id", ("coupon_id",), cells.parse_id), Field("menu_id", ("menu_id",), cells.parse_id), _READ_DELETED),
)

REVIEW = SheetSpec(
    "review",
    ("review", "reviews", "shop_review", "리뷰"),
    (
        _SHOP_ID,
        _column("rating", "rating", "score", "star", "평점"),
        _column("content", "content", "review", "text", "comment", "내용"),
        _column("blind", "is_blind", "is_hidden", "blind"),
        *_DELETED,
    ),
    (
        _READ_SHOP_ID,
        Field("rating", ("rating",), cells.parse_rating),
        Field("content", ("content",), parse_snippet, private=True),
        Field("blind", ("blind",), cells.parse_careful_flag),
        _READ_DELETED,
    ),
)

FAVORITE = SheetSpec(
    "userfavorite",
    ("userfavorite", "user_favorites", "favorite", "favorites"),
    # The user's id only tells whether the same child marked the same shop twice; it goes no further.
    (_SHOP_ID, _column("user_id", "user_id", "member_id", required=True), *_DELETED),
    (_READ_SHOP_ID, Field("user_id", ("user_id",), cells.parse_id, private=True), _READ_DELETED),
)

SHEETS = (SHOP, MENU, MENU_CATEGORY, COUPON, COUPON_SHOP, COUPON_MENU, REVIEW, FAVORITE)

PRIVATE_SHEETS = frozenset(
    bare_name(name)
    for name in (
        "user", "users", "user_location", "foodcard", "product_order", "ticket", "coupon_user_map", "giftcard_wallet",
        "giftcard_wallet_transaction", "point_transaction",
    )
)  # fmt: skip
"""Sheets about people; of these nothing but the number of rows is ever looked at."""


def spec_for(sheet_name: str) -> SheetSpec | None:
    """The specification of a sheet by its name in any case style; None for sheets that are not needed."""
    name = bare_name(sheet_name)
    return next((spec for spec in SHEETS if name in {bare_name(known) for known in spec.names}), None)
