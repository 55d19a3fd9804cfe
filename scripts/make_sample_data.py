"""Make `sample_data.xlsx`, a children's meal-card service as a dirty MySQL export, and the truth about it.

Run `python scripts/make_sample_data.py` to write `sample_data.xlsx` and `tests/data/sample_data.truth.json`.
Everything follows from the seed: the same seed gives the same bytes. Values are invented (see
`sample_data_words.py`); the dirt is planted on purpose and each piece is written down in the truth file:
where it stands, and what a correct reader must conclude.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import sample_data_words as words
from openpyxl import Workbook
from openpyxl.utils import get_column_letter

ROOT = Path(__file__).resolve().parents[1]
SEED = 20260630
EXPORTED_AT = datetime(2026, 6, 30, 3, 0)
SHOWCASE = "해맑은분식"

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

    def refuse(self, sheet: str, row: Row, rule: str) -> None:
        self.refused.append((sheet, row, rule))


def schema() -> dict[str, Sheet]:
    """The thirty tables with their columns, spelled as inconsistently as grown databases spell them."""
    columns = {
        "shop": "id shopName category brand_id business_no ownerName phone address latitude longitude shop_message "
        "isGoodInfluenceShop openHour closeHour break_time closedDays is_delivery deliveryFee min_order_price status "
        "createdAt updated_at deletedAt",
        "shop_menu": "id store_id menuCategoryId menu_name price discount_value description allergens is_best isSoldOut "
        "image_url sort_order created_at deleted_at",
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


# --- how the same thing is written by different hands ---------------------------------------------------


def won(rng: random.Random, price: int) -> Any:
    """A price as somebody might have typed it."""
    forms: list[Any] = [price] * 16 + [f"{price:,}원", f"{price:,}", str(price), f"{price}원"]
    if price >= 1000 and price % 1000 == 0:
        forms += [f"{price // 1000}천원", f"{price // 1000}천 원"] if price < 10000 else [f"{price // 10000}만{price % 10000 // 1000 or ''}{'천' if price % 10000 else ''}원"]
    elif 1000 < price < 10000 and price % 100 == 0:
        forms.append(f"{price // 1000}천{price % 1000 // 100}백원")
    return rng.choice(forms)


def flag(rng: random.Random, value: bool) -> Any:
    """A yes or no as 0/1/TRUE/Y/blank."""
    return rng.choice([1, 1, True, "Y", "TRUE", "y"] if value else [0, 0, False, "N", None, "FALSE", ""])


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def spoken(minutes: int) -> str:
    """A time of day in words, e.g. 오후 9시 30분."""
    minutes %= 1440
    half = "오전" if minutes < 720 else "오후"
    if minutes < 360:
        half = "새벽" if minutes else "밤"
    hour = (minutes // 60 - 1) % 12 + 1
    return f"{half} {hour}시" + (f" {minutes % 60}분" if minutes % 60 else "")


def hours_cells(rng: random.Random, opens: int, closes: int) -> tuple[Any, Any, str]:
    """Cells for openHour and closeHour and the name of the way they are written."""
    if closes - opens == 1440:
        return rng.choice(["24시간", "00:00~24:00", "24시간 영업"]), None, "hours_round_the_clock"
    if closes > 1440:
        late = closes - 1440
        forms: list[tuple[Any, Any, str]] = [
            (f"{clock(opens)}~{clock(late)}", None, "hours_past_midnight"),
            (f"{clock(opens)}~익일 {clock(late)}", None, "hours_past_midnight"),
            (f"{spoken(opens)} ~ {spoken(late)}", None, "hours_past_midnight"),
            (f"{clock(opens)}~{clock(closes)}", None, "hours_past_midnight"),
            (time(opens // 60, opens % 60), time(late // 60, late % 60), "hours_excel_time_past_midnight"),
        ]
        return rng.choice(forms)
    if closes == 1440:
        return rng.choice(
            [
                (f"{clock(opens)}~24:00", None, "hours_24_00"),
                (time(opens // 60, opens % 60), timedelta(days=1), "hours_excel_24_00"),
                (f"{spoken(opens)} - 자정", None, "hours_24_00"),
            ]
        )
    return rng.choice(
        [
            (f"{clock(opens)}~{clock(closes)}", None, "hours_text"),
            (f"{clock(opens)} - {clock(closes)}", None, "hours_text"),
            (f"{spoken(opens)} - {spoken(closes)}", None, "hours_spoken"),
            (f"{spoken(opens)}부터 {spoken(closes)}까지", None, "hours_spoken"),
            (time(opens // 60, opens % 60), time(closes // 60, closes % 60), "hours_excel_time"),
            (clock(opens), clock(closes), "hours_two_columns"),
        ]
    )


def typical_hours(rng: random.Random, category: str) -> tuple[int, int, tuple[int, int] | None]:
    """Opening and closing minute of the day (past 1440: after midnight) and a break, by kind of shop."""
    if category == "편의점":
        return (0, 1440, None) if rng.random() < 0.6 else (360, 1440, None)
    if category == "치킨":
        return rng.choice([(900, 1500, None), (930, 1440, None), (960, 1560, None), (840, 1380, None)])
    if category in ("카페·베이커리", "패스트푸드"):
        return rng.choice([480, 510, 540]), rng.choice([1260, 1290, 1320]), None
    if category in ("한식", "일식", "중식"):
        pause = rng.choice([(900, 1020), (900, 990), None])
        return rng.choice([600, 630, 660]), rng.choice([1230, 1260, 1290]), pause
    return rng.choice([540, 600, 660]), rng.choice([1200, 1230, 1260, 1320]), None


WEEKDAYS = "월화수목금토일"


def closed_cell(rng: random.Random, days: tuple[int, ...]) -> Any:
    """How the days off are written; 0 is Monday."""
    if not days:
        return rng.choice(["연중무휴", None, "없음", "-"])
    names = [WEEKDAYS[day] for day in days]
    if len(names) == 1:
        return rng.choice([f"매주 {names[0]}요일", f"{names[0]}요일 휴무", f"{names[0]}요일", names[0]])
    return rng.choice([",".join(names), "·".join(f"{name}요일" for name in names), f"{'/'.join(names)} 휴무"])


ALLERGEN_NUMBERS = (
    "난류 우유 메밀 땅콩 대두 밀 고등어 게 새우 돼지고기 복숭아 토마토 아황산류 호두 닭고기 쇠고기 오징어 조개류 잣"
).split()
SYNONYMS = {"난류": "계란", "대두": "콩", "쇠고기": "소고기"}


def allergen_cells(rng: random.Random, allergens: tuple[str, ...] | None, description: str) -> tuple[Any, str]:
    """Cells for allergens and description: in a column of their own, as school-meal numbers, or in the text."""
    if allergens is None:
        return rng.choice([None, None, "문의"]), description
    if not allergens:
        return rng.choice(["없음", "해당없음"]), description
    style = rng.random()
    if style < 0.55:
        return rng.choice([", ", "·", ","]).join(allergens), description
    if style < 0.7:
        return "·".join(SYNONYMS.get(name, name) for name in allergens), description
    numbers = [ALLERGEN_NUMBERS.index(name) + 1 for name in allergens]
    if style < 0.8:
        return ".".join(str(number) for number in numbers) + ".", description
    if style < 0.87:
        return "".join(chr(0x2460 + number - 1) for number in numbers), description
    return None, f"{description} (알레르기: {', '.join(allergens)})"


# --- the clean world, written down by many hands --------------------------------------------------------


def make_people(world: World, num: int) -> None:
    """Users and everything private about them. Nothing here may ever reach a dialogue."""
    rng = world.rng
    for number in range(1, num + 1):
        name = rng.choice(words.SURNAMES) + rng.choice(words.GIVEN_NAMES)
        phone = f"010-00{rng.randrange(100):02d}-{rng.randrange(10000):04d}"
        address = f"{words.CITY} {rng.choice(words.DISTRICTS)} {rng.choice(words.STREETS)} {rng.randrange(100, 900)}동 {rng.randrange(101, 1900)}호"
        gone = datetime(2026, 5, 1) if rng.random() < 0.05 else None
        born = date(rng.randrange(2009, 2019), rng.randrange(1, 13), rng.randrange(1, 28))
        world.add(
            "user", name=name, nickName=f"{rng.choice(words.NICKNAMES)}{number}", phone=phone,
            email=f"child{number:04d}@example.com", birth=rng.choice([born, born.isoformat()]),
            guardian_phone=rng.choice([phone.replace("-", ""), None]), created_at=_moment(rng), withdrawnAt=gone,
        )  # fmt: skip
        world.add("user_location", user_id=number, lat=36 + rng.random(), lng=127 + rng.random(), address=address)
        if rng.random() < 0.8:
            card = f"0000{rng.randrange(10**12):012d}"
            world.add(
                "foodcard", userId=number, card_no=card, card_holder=name, issuer=words.CITY,
                daily_limit=rng.choice([8000, "8,000원", 9500]), expiresAt=date(2027, 12, 31),
            )  # fmt: skip
        if rng.random() < 0.4:
            wallet = world.add("giftcard_wallet", userId=number, giftcard_id=rng.randrange(1, 5), balance=rng.randrange(0, 50) * 1000)
            for _ in range(rng.randrange(1, 4)):
                world.add("giftcard_wallet_transaction", walletId=wallet["id"], amount=rng.randrange(1, 10) * 1000, kind=rng.choice(["USE", "CHARGE"]), created_at=_moment(rng))
        for _ in range(rng.randrange(0, 4)):
            world.add("point_transaction", user_id=number, point=rng.choice([10, 50, 100, "100P"]), reason=rng.choice(["출석", "리뷰 작성", "이벤트"]), createdAt=_moment(rng))


def _moment(rng: random.Random) -> datetime:
    return datetime(2025, 1, 1) + timedelta(minutes=rng.randrange(60 * 24 * 540))


def make_companies(world: World) -> None:
    """Brands, products, partners, sponsors, couriers: small tables that a child's question never needs."""
    rng = world.rng
    for name in ("씨앗마트25", "새참편의점", "구름버거", "방울피자", "꼬꼬네치킨", "하루도시락"):
        world.add("brand", brandName=name, company=f"{name} 본사", logo_url=f"https://img.example.com/{rng.randrange(1000)}.png")
    for name in ("나눔식품", "새봄제과", "들꽃문구", "한아름유통"):
        world.add("product_company", name=name, ceo_name=rng.choice(words.SURNAMES) + rng.choice(words.GIVEN_NAMES), phone=f"000-{rng.randrange(1000):03d}-{rng.randrange(10000):04d}")
    for name in ("즉석밥 12개", "참치캔 6개", "색연필 24색", "우유 쿠폰", "과일 꾸러미", "물티슈", "칫솔 세트", "공책 5권"):
        world.add("products", productName=name, company_id=rng.randrange(1, 5), price=won(rng, rng.randrange(3, 20) * 1000), stock=rng.randrange(100), is_deleted=flag(rng, False))
    for kind in ("음료", "빵", "아이스크림"):
        world.add("coop_category", name=kind, sortOrder=len(world.sheets["coop_category"].rows))
    for name in ("기프트나라", "모아쿠폰"):
        world.add("coop_company", name=name, contact_phone=f"1500-{rng.randrange(10000):04d}")
    for name in ("달콤제과", "시원음료", "포근우유"):
        world.add("coop_brand", brand_name=name, companyId=rng.randrange(1, 3))
        world.add("coop_coupon", coopBrandId=len(world.sheets["coop_brand"].rows), coop_category_id=rng.randrange(1, 4), name=f"{name} 교환권", price=won(rng, 3000), valid_days=rng.choice([30, "30일"]))
    for value in (5000, 10000, 30000, 50000):
        world.add("giftcard", name=f"새봄상품권 {value:,}원", faceValue=value, is_active=flag(rng, True))
    for name in ("해솔재단", "이웃사랑회", "푸른손길"):
        world.add("sponsor", name=name, contact_name=rng.choice(words.SURNAMES) + rng.choice(words.GIVEN_NAMES), phone=f"000-{rng.randrange(1000):03d}-{rng.randrange(10000):04d}", amount=rng.randrange(1, 50) * 100000)
    for name in ("빠른택배", "든든택배"):
        world.add("courier", name=name, phone=f"1500-{rng.randrange(10000):04d}", tracking_url="https://track.example.com/?no=")


def make_shops(world: World, num: int) -> None:
    """`num` live shops over the ten categories, each with its menus and menu categories."""
    rng = world.rng
    categories = list(words.SHOP_ENDINGS)
    names = {SHOWCASE}
    for number in range(num):
        category = "분식" if number == 0 else categories[number % len(categories)]
        name = SHOWCASE if number == 0 else _shop_name(rng, category, names)
        shop = _shop_truth(rng, category, name, showcase=number == 0)
        row = _write_shop(world, shop)
        _make_menus(world, shop, row)


def _shop_name(rng: random.Random, category: str, used: set[str]) -> str:
    while True:
        gap = rng.choice(["", " "])
        name = f"{rng.choice(words.SHOP_WORDS)}{gap}{rng.choice(words.SHOP_ENDINGS[category])}"
        key = name.replace(" ", "")
        if key not in used:
            used.add(key)
            return name


def _shop_truth(rng: random.Random, category: str, name: str, *, showcase: bool) -> Row:
    opens, closes, pause = (600, 1260, None) if showcase else typical_hours(rng, category)
    days = () if showcase or category == "편의점" else rng.choice([(), (6,), (0,), (0, 1), (2,), (), (5, 6)])
    delivers = False if showcase else rng.choice([True, False, None])
    return {
        "name": name,
        "category": category,
        "good": showcase or rng.random() < 0.35,
        "message": words.MESSAGES[1] if showcase else rng.choice([*words.MESSAGES, None, None, None, None]),
        "opens": opens,
        "closes": closes,
        "pause": pause,
        "closed_days": days,
        "delivers": delivers,
        "fee": rng.choice([0, 1000, 2000, 2500, 3000]) if delivers else None,
        "min_order": rng.choice([8000, 10000, 12000]) if delivers else None,
        "address": f"{words.CITY} {rng.choice(words.DISTRICTS)} {rng.choice(words.STREETS)} {rng.randrange(1, 190)}",
    }


def _write_shop(world: World, shop: Row) -> Row:
    rng = world.rng
    open_cell, close_cell, way = hours_cells(rng, shop["opens"], shop["closes"])
    pause = f"{clock(shop['pause'][0])}~{clock(shop['pause'][1])}" if shop["pause"] else None
    fee = None if shop["fee"] is None else won(rng, shop["fee"]) if shop["fee"] else rng.choice([0, "무료"])
    row = world.add(
        "shop", shopName=shop["name"], category=rng.choice(words.CATEGORY_SPELLINGS.get(shop["category"], (shop["category"],))),
        brand_id=rng.choice([None, None, rng.randrange(1, 7)]), business_no=f"000-{rng.randrange(100):02d}-{rng.randrange(100000):05d}",
        ownerName=rng.choice(words.SURNAMES) + rng.choice(words.GIVEN_NAMES), phone=f"000-{rng.randrange(1000):03d}-{rng.randrange(10000):04d}",
        address=shop["address"], latitude=36 + rng.random(), longitude=127 + rng.random(), shop_message=shop["message"],
        isGoodInfluenceShop=flag(rng, shop["good"]), openHour=open_cell, closeHour=close_cell, break_time=pause,
        closedDays=closed_cell(rng, shop["closed_days"]), is_delivery=None if shop["delivers"] is None else rng.choice([1, "Y", True] if shop["delivers"] else [0, "N", False]),
        deliveryFee=fee, min_order_price=None if shop["min_order"] is None else won(rng, shop["min_order"]),
        status=rng.choice(["OPEN", "OPEN", "영업중", "open"]), createdAt=_moment(rng), updated_at=_moment(rng).isoformat(" "),
        deletedAt=rng.choice([None, None, None, "0000-00-00 00:00:00", "NULL"]),
    )  # fmt: skip
    if way not in ("hours_text", "hours_spoken", "hours_two_columns", "hours_excel_time"):
        world.plant(way, "shop", row, "openHour", None)
    world.shops[str(row["id"])] = shop
    return row


def _make_menus(world: World, shop: Row, shop_row: Row) -> None:
    rng = world.rng
    sections = [
        world.add("shop_menu_category", shopId=shop_row["id"], category_name=name, sortOrder=order, is_deleted=flag(rng, False))
        for order, name in enumerate(words.SECTIONS[shop["category"]])
    ]
    dishes = [line.split("|") for line in words.DISHES[shop["category"]].strip().split("\n")]
    chosen = rng.sample(dishes, rng.randrange(6, 10))
    if shop["name"] == SHOWCASE:
        chosen = dishes[:2] + dishes[9:14]
    for order, (name, usual, allergens, description) in enumerate(chosen):
        price = int(usual) + rng.choice([-500, 0, 0, 0, 500, 1000]) if int(usual) > 2000 else int(usual)
        if (shop["name"], name) == (SHOWCASE, "떡볶이"):
            price = 4500
        stated: tuple[str, ...] | None = tuple(allergens.split(",")) if allergens != "-" else ()
        menu: Row = {
            "shop_id": str(shop_row["id"]),
            "name": name,
            "price": price,
            "section": rng.choice(sections),
            "description": description if rng.random() < 0.8 else None,
            "allergens": stated if rng.random() < 0.75 else None,
            "best": order < 2 and rng.random() < 0.7,
            "sold_out": rng.random() < 0.07 and not shop["name"] == SHOWCASE,
            "discount": rng.choice([500, 1000]) if price >= 4000 and rng.random() < 0.12 else None,
        }
        _write_menu(world, menu, shop_row["id"], order)


def _write_menu(world: World, menu: Row, shop_id: Any, order: int) -> Row:
    rng = world.rng
    allergens, description = allergen_cells(rng, menu["allergens"], menu["description"] or "")
    row = world.add(
        "shop_menu", store_id=shop_id, menuCategoryId=menu["section"]["id"], menu_name=menu["name"], price=won(rng, menu["price"]),
        discount_value=menu["discount"] if menu["discount"] else rng.choice([None, None, 0]), description=description or None,
        allergens=allergens, is_best=flag(rng, menu["best"]), isSoldOut=flag(rng, menu["sold_out"]),
        image_url=f"https://img.example.com/m/{rng.randrange(10**6)}.jpg", sort_order=order, created_at=_moment(rng),
        deleted_at=rng.choice([None, None, None, None, "NULL"]),
    )  # fmt: skip
    record = {key: value for key, value in menu.items() if key != "section"}
    world.menus[str(row["id"])] = {**record, "category": menu["section"]["category_name"]}
    return row


def make_options(world: World, num: int) -> None:
    rng = world.rng
    for menu in rng.sample(world.sheets["shop_menu"].rows, num):
        group = world.add("shop_menu_option_category", menu_id=menu["id"], name=rng.choice(["맵기", "사이즈", "토핑"]), isRequired=flag(rng, True), max_select=1)
        for name in rng.choice([("순한맛", "보통맛", "매운맛"), ("보통", "곱빼기"), ("치즈 추가", "계란 추가")]):
            world.add("shop_menu_option", optionCategoryId=group["id"], name=name, price=rng.choice([0, 500, "500원", 1000]), is_sold_out=flag(rng, False))


def make_coupons(world: World, num: int) -> None:
    """Coupons in won or percent, with the shops and menus that take them."""
    rng = world.rng
    shops = list(world.sheets["shop"].rows)
    menus = list(world.sheets["shop_menu"].rows)
    titles = ("첫 방문 쿠폰", "여름방학 쿠폰", "착한가게 쿠폰", "배달비 쿠폰", "생일 축하 쿠폰", "점심 쿠폰", "빵 쿠폰", "주말 쿠폰")
    for number in range(num):
        percent = rng.choice([None, None, None, 10, 20])
        amount = None if percent else rng.choice([500, 1000, 1500, 2000])
        least = rng.choice([None, 5000, 8000])
        until = rng.choice([date(2026, 12, 31), date(2026, 8, 31), date(2026, 7, 31), date(2026, 5, 31)])
        row = world.add(
            "coupon", couponName=f"{titles[number % len(titles)]} {number // len(titles) + 1}", discount_type="PERCENT" if percent else "AMOUNT",
            discount_value=percent or won(rng, amount or 0), minOrderPrice=least, start_date=date(2026, 3, 1),
            endDate=rng.choice([until, until.isoformat(), until.strftime("%Y.%m.%d")]), is_active=flag(rng, True), deleted_at=None,
        )  # fmt: skip
        taken_by = [str(shop["id"]) for shop in rng.sample(shops, rng.randrange(2, 6))]
        for shop_id in taken_by:
            world.add("coupon_shop_map", coupon_id=row["id"], shopId=_as_written(shop_id))
        on = [str(menu["id"]) for menu in rng.sample(menus, rng.randrange(0, 4))]
        for menu_id in on:
            world.add("coupon_menu_map", couponId=row["id"], menu_id=int(menu_id))
        if rng.random() < 0.3:
            world.add("coupon_product_map", couponId=row["id"], productId=rng.randrange(1, 9))
        world.coupons[str(row["id"])] = {
            "name": row["couponName"], "value": amount, "percent": percent, "min_order": least, "valid_from": "2026-03-01",
            "valid_until": until.isoformat(), "shops": sorted(taken_by), "menus": sorted(on),
        }  # fmt: skip


def _as_written(shop_id: str) -> Any:
    """Zero-padded partner ids stay text; the others are numbers."""
    return shop_id if shop_id.startswith("0") else int(shop_id)


def make_activity(world: World, num_users: int) -> None:
    """Favourites, reviews, orders and tickets."""
    rng = world.rng
    shops = world.sheets["shop"].rows
    seen: set[tuple[int, Any]] = set()
    for user in range(1, num_users + 1):
        for shop in rng.sample(shops, rng.randrange(0, 5)):
            world.add("userfavorite", userId=user, shopId=shop["id"], created_at=_moment(rng), is_deleted=flag(rng, False))
            seen.add((user, shop["id"]))
        for shop in rng.sample(shops, rng.randrange(0, 3)):
            column = rng.choice(["shop_id", "shop_id", "store_id"])
            world.add(
                "review", userId=user, **{column: shop["id"]}, rating=rng.choice([5, 5, 4, 4, 3, "5점", 2]),
                content=rng.choice(words.REVIEWS), created_at=_moment(rng), is_blind=flag(rng, False),
            )  # fmt: skip
        if rng.random() < 0.3:
            world.add("ticket", user_id=user, shopId=rng.choice(shops)["id"], amount=rng.choice([4500, 8000]), used_at=_moment(rng), status="USED")
            name = world.sheets["user"].rows[user - 1]["name"]
            world.add(
                "product_order", userId=user, product_id=rng.randrange(1, 9), qty=1, total=rng.randrange(3, 20) * 1000, orderedAt=_moment(rng),
                receiver_name=name, receiver_phone=world.sheets["user"].rows[user - 1]["phone"], address=world.sheets["user_location"].rows[user - 1]["address"],
            )  # fmt: skip
        if rng.random() < 0.2:
            world.add("coupon_user_map", coupon_id=rng.randrange(1, 10), userId=user, used_at=None)


# --- the dirt ------------------------------------------------------------------------------------------


def reserve(world: World) -> None:
    """Rows free for planting, in a shuffled order; the showcase shop and its menus stay clean."""
    showcase = world.sheets["shop"].rows[0]
    for name in ("shop", "shop_menu", "coupon", "review", "userfavorite"):
        rows = list(world.sheets[name].rows)
        if name == "shop":
            rows = rows[1:]
        if name == "shop_menu":
            rows = [row for row in rows if row["store_id"] != showcase["id"]]
        world.rng.shuffle(rows)
        world.free[name] = rows


def plant_prices(world: World) -> None:
    planted: list[tuple[str, Any, str]] = [
        *(("price_not_stated", text, "not_stated") for text in ("시가", "시가", "싯가", "변동", "문의", "시가")),
        *(("price_zero", 0, "zero_price") for _ in range(4)),
        ("price_zero", "0원", "zero_price"),
        *(("price_blank", None, "") for _ in range(4)),
        *(("formula_without_value", f"=E{n}+500", "formula_without_value") for n in (12, 40, 77)),
        ("price_negative", -4500, "unreadable_price"),
        ("price_range", "7,000~9,000원", "price_range"),
        ("price_range", "6천원부터", "price_range"),
        ("price_absurd", 89000000, "price_out_of_range"),
        ("price_absurd", 45, "price_out_of_range"),
        ("price_words", "사장님 마음대로", "unreadable_price"),
    ]
    for trait, cell, rule in planted:
        row = world.take("shop_menu")
        row["price"] = cell
        world.menus[str(row["id"])]["price"] = None
        row["discount_value"], world.menus[str(row["id"])]["discount"] = None, None
        world.plant(trait, "shop_menu", row, "price", rule or None)
    readable: list[tuple[Any, int]] = [
        ("8,900원", 8900), ("5천원", 5000), ("5천5백원", 5500), ("1만2천원", 12000), ("₩6,500", 6500), ("８９００원", 8900),
        ("4500.0", 4500), (" 7,000 원 ", 7000), ("6500 won", 6500), ("만원", 10000), ("1.2만원", 12000),
    ]  # fmt: skip
    for cell, price in readable:
        row = world.take("shop_menu", lambda row: not row["discount_value"])
        row["price"] = cell
        world.menus[str(row["id"])]["price"] = price
        world.plant("price_as_text", "shop_menu", row, "price", "price_as_text")


def plant_flags(world: World) -> None:
    for cell, value in ((1, True), (0, False), (True, True), ("TRUE", True), ("Y", True), ("y", True), ("N", False), (None, False), ("예", True), ("O", True), ("X", False), (" 1 ", True), ("1.0", True)):
        row = world.take("shop_menu")
        row["is_best"] = cell
        world.menus[str(row["id"])]["best"] = value
        world.plant("flag_spelling", "shop_menu", row, "is_best", None)
    row = world.take("shop_menu")
    row["isSoldOut"] = "확인중"
    world.menus[str(row["id"])]["sold_out"] = True
    world.plant("flag_unreadable_sold_out", "shop_menu", row, "isSoldOut", "unreadable_flag")
    shop = world.take("shop")
    shop["isGoodInfluenceShop"] = "?"
    world.shops[str(shop["id"])]["good"] = False
    world.plant("flag_unreadable_good_influence", "shop", shop, "isGoodInfluenceShop", "unreadable_flag")


def plant_menu_texts(world: World) -> None:
    def text(trait: str, column: str, key: str, cell: Any, clean: Any, rule: str | None) -> None:
        row = world.take("shop_menu", lambda row: "알레르기" not in str(row["description"]))
        row[column] = cell
        world.menus[str(row["id"])][key] = clean
        world.plant(trait, "shop_menu", row, column, rule)

    text("emoji", "menu_name", "name", "별빛떡볶이🔥🔥", "별빛떡볶이", "emoji")
    text("emoji", "description", "description", "사장님 추천 👍🏻 매콤해요", "사장님 추천 매콤해요", "emoji")
    text("html", "description", "description", "<p>겉은 <b>바삭</b>,<br/>속은 촉촉 &amp; 따뜻</p>", "겉은 바삭, 속은 촉촉 & 따뜻", "html")
    text("html", "menu_name", "name", "<b>나비 특선 덮밥</b>", "나비 특선 덮밥", "html")
    text("phone", "description", "description", "예약 문의 010-0012-3456, 포장 돼요", "예약 문의, 포장 돼요", "phone")
    text("decomposed_hangul", "menu_name", "name", unicodedata.normalize("NFD", "옛날왕돈까스"), "옛날왕돈까스", "decomposed_hangul")
    text("decomposed_hangul", "description", "description", unicodedata.normalize("NFD", "고소한 참깨 소스"), "고소한 참깨 소스", "decomposed_hangul")
    text("control_token", "description", "description", "<|im_end|>바삭해요 | 따뜻해요", "바삭해요 / 따뜻해요", "control_token")
    text("full_width", "menu_name", "name", "나비　세트（대）", "나비 세트(대)", "full_width")
    text("line_break", "description", "description", "매콤한 맛\n순한 맛", "매콤한 맛 순한 맛", None)
    text("web_address", "description", "description", "자세히는 https://shop.example.com/a?b=1 에서", "자세히는 에서", "web_address")
    text("allergens_doubtful_number", "allergens", "allergens", 1.1, None, "ambiguous_allergens")
    text("allergens_numbers", "allergens", "allergens", "①⑤⑥", ("난류", "대두", "밀"), None)
    text("allergens_numbers", "allergens", "allergens", "2.6.13.", ("우유", "밀", "아황산류"), None)
    for trait, cell, value, rule in (
        ("discount_percent", "10%", 800, "percent_discount"),
        ("discount_too_big", 9000, None, "discount_too_big"),
        ("discount_as_text", "5백원", 500, "price_as_text"),
    ):
        row = world.take("shop_menu")
        row["price"], row["discount_value"] = 8000, cell
        world.menus[str(row["id"])].update(price=8000, discount=value)
        world.plant(trait, "shop_menu", row, "discount_value", rule)


def plant_menu_refusals(world: World) -> None:
    """Menus that may not be used, and why."""

    def refuse(trait: str, rule: str, **cells: Any) -> Row:
        row = world.take("shop_menu")
        row.update(cells)
        world.menus.pop(str(row["id"]))
        world.refuse("shop_menu", row, rule)
        world.plant(trait, "shop_menu", row, next(iter(cells)), rule)
        return row

    for shop_id in (9001, 9002, 9003, 9004):
        refuse("orphan_key", "orphan_shop", store_id=shop_id)
    refuse("blank_key", "no_shop_id", store_id=None)
    for deleted in (datetime(2026, 2, 3, 4, 5), "2026-01-15 10:00:00", date(2025, 12, 24), "Y"):
        refuse("soft_deleted", "soft_deleted", deleted_at=deleted)
    refuse("name_missing", "no_name", menu_name=None)
    refuse("name_missing", "no_name", menu_name=" 🍕 ")
    for name in ("생맥주 500cc", "참이슬봉 소주", "하이볼"):
        refuse("not_for_children", "not_for_children", menu_name=name)
    twin = world.take("shop_menu")
    copy = world.add("shop_menu", **{key: value for key, value in twin.items() if key != "id"}, id=twin["id"])
    world.refuse("shop_menu", copy, "duplicate_id")
    world.plant("duplicate_id", "shop_menu", copy, "id", "duplicate_id")
    row = world.take("shop_menu")
    row["menuCategoryId"] = 99999
    world.menus[str(row["id"])]["category"] = None
    world.plant("orphan_key", "shop_menu", row, "menuCategoryId", "orphan_category")


def plant_shop_texts(world: World) -> None:
    def text(trait: str, column: str, key: str, cell: Any, clean: Any, rule: str | None) -> None:
        row = world.take("shop")
        row[column] = cell
        world.shops[str(row["id"])][key] = clean
        world.plant(trait, "shop", row, column, rule)

    text("emoji", "shop_message", "message", "어린이 손님 환영해요 😊💕", "어린이 손님 환영해요", "emoji")
    text("html", "shop_message", "message", "<div>따뜻한 밥<br>드려요</div>", "따뜻한 밥 드려요", "html")
    text("phone", "shop_message", "message", "단체는 전화 주세요 02-000-1234", "단체는 전화 주세요", "phone")
    text("phone", "shop_message", "message", "문자 주세요 01000123456 언제든지", "문자 주세요 언제든지", "phone")
    text("email", "shop_message", "message", "문의는 owner@example.com 으로", "문의는 으로", "email")
    text("bank_account", "shop_message", "message", "계좌 110-000-123456-78 로 입금", None, "long_number")
    text("decomposed_hangul", "shopName", "name", unicodedata.normalize("NFD", "나비야 도시락"), "나비야 도시락", "decomposed_hangul")
    text("html", "shopName", "name", "꿈나무 &amp; 친구들", "꿈나무 & 친구들", "html")
    text("emoji", "shopName", "name", "⭐달려라김밥⭐", "달려라김밥", "emoji")
    text("category_blank", "category", "category", None, "기타", "no_category")
    text("decomposed_hangul", "category", "category", unicodedata.normalize("NFD", "한식"), "한식", "decomposed_hangul")
    text("not_for_children", "shop_message", "message", "저녁에는 생맥주 한 잔", None, "not_for_children")


def plant_hours(world: World) -> None:
    def hours(trait: str, cells: Row, rule: str | None, opens: int | None, closes: int | None, pause: tuple[int, int] | None = None, column: str = "openHour") -> None:
        row = world.take("shop", lambda row: world.shops[str(row["id"])]["category"] != "편의점")
        row.update({"closeHour": None, "break_time": None, **cells})
        world.shops[str(row["id"])].update(opens=opens, closes=closes, pause=pause)
        world.traits[:] = [item for item in world.traits if item[2] is not row or item[3] != "openHour"]
        world.plant(trait, "shop", row, column, rule)

    hours("hours_text", {"openHour": "10:00~21:00"}, None, 600, 1260)
    hours("hours_spoken", {"openHour": "오전 10시 - 오후 9시"}, None, 600, 1260)
    hours("hours_excel_time", {"openHour": time(9, 30), "closeHour": time(20, 0)}, None, 570, 1200)
    hours("hours_24_00", {"openHour": "11:00~24:00"}, None, 660, 1440)
    hours("hours_excel_24_00", {"openHour": time(11, 0), "closeHour": timedelta(days=1)}, None, 660, 1440)
    hours("hours_past_midnight", {"openHour": "17:00~02:00"}, None, 1020, 1560)
    hours("hours_past_midnight", {"openHour": "오후 5시 ~ 새벽 2시 30분"}, None, 1020, 1590)
    hours("break_outside_hours", {"openHour": "17:00~23:00", "break_time": "15:00~16:30"}, "break_outside_hours", 1020, 1380, column="break_time")
    hours("break_outside_hours", {"openHour": "10:00~21:00", "break_time": "20:30~21:30"}, "break_outside_hours", 600, 1260, column="break_time")
    hours("break_inside_text", {"openHour": "11:00~21:00 (브레이크타임 15:00~17:00)"}, None, 660, 1260, (900, 1020))
    hours("hours_last_order", {"openHour": "11:30~20:30 (라스트오더 19:50)"}, None, 690, 1230)
    hours("hours_by_weekday", {"openHour": "평일 10:00~21:00, 주말 11:00~20:00"}, "several_hours", 660, 1200)
    hours("hours_unreadable", {"openHour": "사장님 기분 따라"}, "unreadable_hours", None, None)
    hours("hours_unreadable", {"openHour": "27:80~99:00"}, "unreadable_hours", None, None)
    hours("hours_blank", {"openHour": None}, None, None, None)
    hours("hours_only_opening", {"openHour": "10:00"}, "no_closing_time", None, None)
    for cell, days, rule in (("매월 둘째 주 화요일", (1,), "some_weeks_only"), ("공휴일 휴무", (), "holidays_not_kept"), ("토·일요일", (5, 6), None), ("사정에 따라", (), "unreadable_closed_days")):
        row = world.take("shop")
        row["closedDays"] = cell
        world.shops[str(row["id"])]["closed_days"] = days
        world.plant("closed_days", "shop", row, "closedDays", rule)


def plant_shop_refusals(world: World) -> None:
    """Shops that are gone, doubled or unfit, with what hangs on them."""
    for cells, trait, rule in (
        ({"deletedAt": datetime(2026, 3, 2, 11, 0)}, "soft_deleted", "soft_deleted"),
        ({"deletedAt": "2026-04-01 00:00:00"}, "soft_deleted", "soft_deleted"),
        ({"status": "폐업"}, "closed_down", "closed_down"),
        ({"status": "CLOSED"}, "closed_down", "closed_down"),
        ({"category": "주점"}, "not_for_children", "not_for_children"),
        ({"shopName": None}, "name_missing", "no_name"),
    ):
        row = _extra_shop(world)
        row.update(cells)
        _drop_shop(world, row, rule)
        world.plant(trait, "shop", row, next(iter(cells)), rule)
    for change in (lambda name: f" {name} ", _spaced, lambda name: name.replace(" ", "") if " " in name else _spaced(name)):
        _plant_duplicate(world, change)
    twin = world.add("shop", id=world.sheets["shop"].rows[5]["id"], shopName="번호가 같은 가게", category="분식", status="OPEN")
    world.refuse("shop", twin, "duplicate_id")
    world.plant("duplicate_id", "shop", twin, "id", "duplicate_id")
    lost = world.add("shop", shopName="번호 없는 가게", category="분식", status="OPEN")
    lost["id"] = None
    world.refuse("shop", lost, "no_id")
    world.plant("blank_key", "shop", lost, "id", "no_id")


def _spaced(name: str) -> str:
    middle = len(name.replace(" ", "")) // 2
    bare = name.replace(" ", "")
    return f"{bare[:middle]}  {bare[middle:]}"


def _extra_shop(world: World) -> Row:
    rng = world.rng
    used = {shop["name"].replace(" ", "") for shop in world.shops.values()}
    shop = _shop_truth(rng, "분식", _shop_name(rng, "분식", used), showcase=False)
    row = _write_shop(world, shop)
    row["deletedAt"] = None
    _make_menus(world, shop, row)
    return row


def _drop_shop(world: World, row: Row, rule: str) -> None:
    shop_id = str(row["id"])
    del world.shops[shop_id]
    world.refuse("shop", row, rule)
    world.traits[:] = [item for item in world.traits if item[2] is not row]
    for menu in world.sheets["shop_menu"].rows:
        if menu["store_id"] == row["id"] and world.menus.pop(str(menu["id"]), None):
            world.refuse("shop_menu", menu, "shop_refused")


def _plant_duplicate(world: World, change: Callable[[str], str]) -> None:
    """A second row of a live shop whose name differs by spaces; its menus belong to the first."""
    original = world.take("shop", lambda row: bool(re.fullmatch(r"[가-힣 ]{4,}", row["shopName"] or "")))
    shop = world.shops[str(original["id"])]
    copy = world.add("shop", **{**{k: v for k, v in original.items() if k != "id"}, "shopName": change(shop["name"])})
    world.refuse("shop", copy, "duplicate_shop")
    world.plant("duplicate_shop", "shop", copy, "shopName", "duplicate_shop")
    dishes = [menu for menu in world.menus.values() if menu["shop_id"] == str(original["id"])]
    section = next(row for row in world.sheets["shop_menu_category"].rows if row["shopId"] == original["id"])
    world.merged[str(copy["id"])] = str(original["id"])
    fans = {row["userId"] for row in world.sheets["userfavorite"].rows if row["shopId"] == original["id"]}
    world.add("userfavorite", userId=next(user for user in range(1, 10**6) if user not in fans), shopId=copy["id"], is_deleted=0)
    fresh: Row = {
        "shop_id": str(copy["id"]), "name": "나비 정식", "price": 7000, "section": section, "description": None, "allergens": None,
        "best": False, "sold_out": False, "discount": None,
    }  # fmt: skip
    row = _write_menu(world, fresh, copy["id"], 1)
    world.menus[str(row["id"])]["shop_id"] = str(original["id"])
    known = next(menu for menu in dishes if menu["price"] and re.fullmatch("[가-힣]+", menu["name"]))
    again = world.add("shop_menu", store_id=copy["id"], menu_name=f"{known['name']} ", price=known["price"], menuCategoryId=section["id"])
    world.refuse("shop_menu", again, "duplicate_menu")
    world.plant("duplicate_menu", "shop_menu", again, "menu_name", "duplicate_menu")


def plant_coupons(world: World) -> None:
    def refuse(trait: str, column: str, cell: Any, rule: str) -> None:
        row = world.take("coupon")
        row[column] = cell
        world.coupons.pop(str(row["id"]))
        world.refuse("coupon", row, rule)
        world.plant(trait, "coupon", row, column, rule)
        for name, key in (("coupon_shop_map", "coupon_id"), ("coupon_menu_map", "couponId")):
            for entry in world.sheets[name].rows:
                if entry[key] == row["id"]:
                    world.refuse(name, entry, "coupon_refused")

    refuse("soft_deleted", "deleted_at", datetime(2026, 4, 4), "soft_deleted")
    refuse("flag_inactive", "is_active", "N", "not_active")
    refuse("coupon_without_value", "discount_value", "=A3*100", "no_value")
    row = world.take("coupon", lambda row: row["discount_type"] == "AMOUNT")
    row["discount_value"] = "1천원"
    world.coupons[str(row["id"])].update(value=1000, percent=None)
    world.plant("price_as_text", "coupon", row, "discount_value", "price_as_text")
    orphan = world.add("coupon_shop_map", coupon_id=row["id"], shopId=9009)
    world.refuse("coupon_shop_map", orphan, "orphan_shop")
    world.plant("orphan_key", "coupon_shop_map", orphan, "shopId", "orphan_shop")
    orphan = world.add("coupon_menu_map", couponId=8888, menu_id=1)
    world.refuse("coupon_menu_map", orphan, "orphan_coupon")
    world.plant("orphan_key", "coupon_menu_map", orphan, "couponId", "orphan_coupon")


def plant_reviews(world: World) -> None:
    """Texts that name people or numbers, ratings nobody can give, and shops under two column names."""
    for text in (
        "사장님 번호 010-0034-5678 로 연락했어요", "김하늘이랑 같이 갔어요", "저는 새봄초등학교 3학년이에요", "카톡 nabi1234 로 연락 줘",
        "우리 가람이가 좋아해요", "child0001@example.com", "101동 1203호로 배달 왔어요", "박누리님 감사합니다",
    ):  # fmt: skip
        row = world.take("review")
        row["content"] = text
        world.plant("personal_text", "review", row, "content", "personal_text")
    for cell in (0, 6, "최고", None):
        row = world.take("review")
        row["rating"] = cell
        world.plant("rating_unreadable", "review", row, "rating", "unreadable_rating" if cell is not None else None)
    row = world.take("review", lambda row: row.get("shop_id"))
    row["store_id"] = row["shop_id"]
    world.plant("store_id_beside_shop_id", "review", row, "store_id", None)
    row = world.take("review", lambda row: row.get("shop_id"))
    row["store_id"] = row["shop_id"] + 1 if isinstance(row["shop_id"], int) else 2
    world.plant("store_id_disagrees", "review", row, "store_id", "columns_disagree")
    row = world.take("review", lambda row: row.get("store_id") and not row.get("shop_id"))
    world.plant("store_id_beside_shop_id", "review", row, "store_id", None)
    for column, cell, rule in (("deletedAt", datetime(2026, 6, 1), "soft_deleted"), ("is_blind", 1, "hidden_by_operator")):
        row = world.take("review")
        row[column] = cell
        world.refuse("review", row, rule)
        world.plant(rule, "review", row, column, rule)
    row = world.take("review", lambda row: row.get("shop_id") and not row.get("store_id"))
    row["shop_id"] = 9100
    world.refuse("review", row, "orphan_shop")
    world.plant("orphan_key", "review", row, "shop_id", "orphan_shop")
    for column, cell, rule in (("shopId", 9200, "orphan_shop"), ("is_deleted", "Y", "soft_deleted")):
        row = world.take("userfavorite")
        row[column] = cell
        world.refuse("userfavorite", row, rule)
        world.plant("orphan_key" if rule == "orphan_shop" else rule, "userfavorite", row, column, rule)
    first = world.take("userfavorite")
    again = world.add("userfavorite", userId=first["userId"], shopId=first["shopId"], is_deleted=0)
    world.refuse("userfavorite", again, "duplicate_favorite")
    world.plant("duplicate_favorite", "userfavorite", again, "userId", "duplicate_favorite")


def partner_ids(world: World, num: int) -> None:
    """Some shops came from a partner, with ids that are text and start with zeros."""
    rng = world.rng
    for number, row in enumerate(world.rng.sample(world.sheets["shop"].rows[1:], num)):
        old, new = row["id"], "0012345678" if number == 0 else f"{rng.randrange(10**8):010d}"
        row["id"] = new
        for name, sheet in world.sheets.items():
            for column in ("store_id", "shop_id", "shopId"):
                if column in sheet.columns and name != "shop":
                    for other in sheet.rows:
                        if other.get(column) == old:
                            other[column] = new
        world.shops[new] = world.shops.pop(str(old))
        for menu in world.menus.values():
            if menu["shop_id"] == str(old):
                menu["shop_id"] = new
        world.plant("id_with_leading_zeros", "shop", row, "id", None)


def structure(world: World) -> None:
    """A hidden sheet, a preamble above a header, merged header groups, notes inside a sheet."""
    world.sheets["shop_menu_category"].hidden = True
    world.sheets["shop_menu"].above = [["※ nabi_prod 추출본 (2026-06-30 03:00, 담당: 운영팀) - 외부 공유 금지"], []]
    world.sheets["shop"].merged = (("가게 정보", "id", "longitude"), ("소개", "shop_message", "isGoodInfluenceShop"), ("영업", "openHour", "closedDays"), ("배달", "is_delivery", "min_order_price"))


# --- writing it down -----------------------------------------------------------------------------------


def make_world(seed: int = SEED, num_shops: int = 126, num_users: int = 180) -> World:
    """All sheets and the truth about them."""
    world = World(random.Random(seed), schema())
    structure(world)
    make_people(world, num_users)
    make_companies(world)
    make_shops(world, num_shops)
    partner_ids(world, 4)
    make_options(world, min(60, num_shops))
    make_coupons(world, 24)
    make_activity(world, num_users)
    reserve(world)
    for plant in (plant_prices, plant_flags, plant_menu_texts, plant_shop_texts, plant_hours):
        plant(world)
    plant_menu_refusals(world)
    plant_shop_refusals(world)
    plant_coupons(world)
    plant_reviews(world)
    return world


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
            sheet.merge_cells(start_row=table.header_row - 1, end_row=table.header_row, start_column=column, end_column=column)


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


def truth(world: World, seed: int) -> dict[str, Any]:
    """What a correct reader must conclude, as JSON."""
    numbers = {id(row): sheet.header_row + place for sheet in world.sheets.values() for place, row in enumerate(sheet.rows, start=1)}
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
            {"sheet": sheet, "row": numbers[id(row)], "id": _plain(row.get("id")), "rule": rule} for sheet, row, rule in refused
        ],
        "traits": [
            {"trait": trait, "sheet": sheet, "row": numbers[id(row)], "id": _plain(row.get("id")), "column": column,
             "cell": _plain(row.get(column)), "rule": rule}
            for trait, sheet, row, column, rule in world.traits
        ],
    }  # fmt: skip


def _maps_to_refused_menus(world: World) -> list[tuple[str, Row, str]]:
    done = {id(row) for _, row, _ in world.refused}
    rows = world.sheets["coupon_menu_map"].rows
    return [
        ("coupon_menu_map", row, "menu_refused") for row in rows if id(row) not in done and str(row["menu_id"]) not in world.menus
    ]


def _shop_record(world: World, shop_id: str) -> dict[str, Any]:
    """A shop as the catalogue must hold it; times as HH:MM, a closing time of 24:00 as 00:00."""
    shop = world.shops[shop_id]
    times = [None if minutes is None else clock(minutes % 1440) for minutes in (shop["opens"], shop["closes"], *(shop["pause"] or (None, None)))]
    kept = {key: shop[key] for key in ("name", "category", "good", "message", "delivers", "fee", "min_order", "address")}
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
    return [row for row in _kept(world, "review") if _merged(world, row.get("shop_id") or row.get("store_id")) == shop_id]


def _rating(cell: Any) -> int | None:
    text = str(cell).removesuffix("점")
    return int(text) if text in "12345" and len(text) == 1 else None


def _coupon_record(world: World, coupon_id: str) -> dict[str, Any]:
    coupon = world.coupons[coupon_id]
    return {**coupon, "menus": [menu_id for menu_id in coupon["menus"] if menu_id in world.menus]}


def _plain(cell: Any) -> Any:
    """A cell as JSON can hold it."""
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--shops", type=int, default=126, help="live shops over ten categories")
    parser.add_argument("--users", type=int, default=180)
    parser.add_argument("--out", type=Path, default=ROOT / "sample_data.xlsx")
    parser.add_argument("--truth", type=Path, default=ROOT / "tests" / "data" / "sample_data.truth.json")
    given = parser.parse_args()
    world = make_world(given.seed, given.shops, given.users)
    given.out.write_bytes(workbook_bytes(world))
    given.truth.parent.mkdir(parents=True, exist_ok=True)
    given.truth.write_text(json.dumps(truth(world, given.seed), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{given.out}: {len(world.sheets)} sheets, {len(world.shops)} live shops, {len(world.menus)} usable menus")
    print(f"{given.truth}: {len(world.traits)} planted traits, {len(world.refused)} rows to refuse")


if __name__ == "__main__":
    main()
