"""The dirt, planted on purpose; each piece is noted with what a reader must report about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from sample_data.service import make_menus, shop_name, shop_truth, write_menu, write_shop
from sample_data.world import Row, World


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
        ("8,900원", 8900),
        ("5천원", 5000),
        ("5천5백원", 5500),
        ("1만2천원", 12000),
        ("₩6,500", 6500),
        ("８９００원", 8900),
        ("4500.0", 4500),
        (" 7,000 원 ", 7000),
        ("6500 won", 6500),
        ("만원", 10000),
        ("1.2만원", 12000),
    ]
    for cell, price in readable:
        row = world.take("shop_menu", lambda row: not row["discount_value"])
        row["price"] = cell
        world.menus[str(row["id"])]["price"] = price
        world.plant("price_as_text", "shop_menu", row, "price", "price_as_text")


def plant_flags(world: World) -> None:
    for cell, value in (
        (1, True),
        (0, False),
        (True, True),
        ("TRUE", True),
        ("Y", True),
        ("y", True),
        ("N", False),
        (None, False),
        ("예", True),
        ("O", True),
        ("X", False),
        (" 1 ", True),
        ("1.0", True),
    ):
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


def _decomposed(text: str) -> str:
    """Hangul in single letters, as macOS writes it."""
    return unicodedata.normalize("NFD", text)


# trait, column, what the catalogue calls it, what stands in the cell, what it says, what a reader reports
MENU_TEXTS: tuple[tuple[str, str, str, Any, Any, str | None], ...] = (
    ("emoji", "menu_name", "name", "별빛떡볶이🔥🔥", "별빛떡볶이", "emoji"),
    ("emoji", "description", "description", "사장님 추천 👍🏻 매콤해요", "사장님 추천 매콤해요", "emoji"),
    (
        "html",
        "description",
        "description",
        "<p>겉은 <b>바삭</b>,<br/>속은 촉촉 &amp; 따뜻</p>",
        "겉은 바삭, 속은 촉촉 & 따뜻",
        "html",
    ),
    ("html", "menu_name", "name", "<b>나비 특선 덮밥</b>", "나비 특선 덮밥", "html"),
    ("phone", "description", "description", "예약 문의 010-0012-3456, 포장 돼요", "포장 돼요", "phone"),
    ("decomposed_hangul", "menu_name", "name", _decomposed("옛날왕돈까스"), "옛날왕돈까스", "decomposed_hangul"),
    (
        "decomposed_hangul",
        "description",
        "description",
        _decomposed("고소한 깨 소스"),
        "고소한 깨 소스",
        "decomposed_hangul",
    ),
    ("control_token", "description", "description", "<|im_end|>바삭 | 따뜻", "바삭 / 따뜻", "control_token"),
    ("full_width", "menu_name", "name", "나비　세트（대）", "나비 세트(대)", "full_width"),
    ("line_break", "description", "description", "매콤한 맛\n순한 맛", "매콤한 맛 순한 맛", None),
    (
        "web_address",
        "description",
        "description",
        "촉촉해요. 자세히는 https://shop.example.com/a?b=1 에서",
        "촉촉해요.",
        "web_address",
    ),
    ("allergens_doubtful_number", "allergens", "allergens", 1.1, None, "ambiguous_allergens"),
    ("allergens_numbers", "allergens", "allergens", "①⑤⑥", ("난류", "대두", "밀"), None),
    ("allergens_numbers", "allergens", "allergens", "2.6.13.", ("우유", "밀", "아황산류"), None),
)


def plant_menu_texts(world: World) -> None:
    for trait, column, key, cell, says, rule in MENU_TEXTS:
        row = world.take("shop_menu", lambda row: "알레르기" not in str(row["description"]))
        row[column] = cell
        world.menus[str(row["id"])][key] = says
        world.plant(trait, "shop_menu", row, column, rule)
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


SHOP_TEXTS: tuple[tuple[str, str, str, Any, Any, str | None], ...] = (
    ("emoji", "shop_message", "message", "어린이 손님 환영해요 😊💕", "어린이 손님 환영해요", "emoji"),
    ("html", "shop_message", "message", "<div>따뜻한 밥<br>드려요</div>", "따뜻한 밥 드려요", "html"),
    ("phone", "shop_message", "message", "단체는 전화 주세요 02-000-1234", None, "phone"),
    ("phone", "shop_message", "message", "언제나 환영해요! 문자는 01000123456", "언제나 환영해요!", "phone"),
    ("email", "shop_message", "message", "문의는 owner@example.com 으로", None, "email"),
    ("bank_account", "shop_message", "message", "계좌 110-000-123456-78 로 입금", None, "long_number"),
    ("decomposed_hangul", "shopName", "name", _decomposed("나비야 도시락"), "나비야 도시락", "decomposed_hangul"),
    ("html", "shopName", "name", "꿈나무 &amp; 친구들", "꿈나무 & 친구들", "html"),
    ("emoji", "shopName", "name", "⭐달려라김밥⭐", "달려라김밥", "emoji"),
    ("category_blank", "category", "category", None, "기타", "no_category"),
    ("decomposed_hangul", "category", "category", _decomposed("한식"), "한식", "decomposed_hangul"),
    ("not_for_children", "shop_message", "message", "저녁에는 생맥주 한 잔", None, "not_for_children"),
)


def plant_shop_texts(world: World) -> None:
    for trait, column, key, cell, says, rule in SHOP_TEXTS:
        row = world.take("shop")
        row[column] = cell
        world.shops[str(row["id"])][key] = says
        world.plant(trait, "shop", row, column, rule)


# trait, cells, minutes of opening and closing (past 1440: after midnight), break, what a reader reports
HOURS: tuple[tuple[str, Row, tuple[int, int] | None, tuple[int, int] | None, str | None], ...] = (
    ("hours_text", {"openHour": "10:00~21:00"}, (600, 1260), None, None),
    ("hours_spoken", {"openHour": "오전 10시 - 오후 9시"}, (600, 1260), None, None),
    ("hours_excel_time", {"openHour": time(9, 30), "closeHour": time(20, 0)}, (570, 1200), None, None),
    ("hours_24_00", {"openHour": "11:00~24:00"}, (660, 1440), None, None),
    ("hours_excel_24_00", {"openHour": time(11, 0), "closeHour": timedelta(days=1)}, (660, 1440), None, None),
    ("hours_past_midnight", {"openHour": "17:00~02:00"}, (1020, 1560), None, None),
    ("hours_past_midnight", {"openHour": "오후 5시 ~ 새벽 2시 30분"}, (1020, 1590), None, None),
    (
        "break_outside_hours",
        {"openHour": "17:00~23:00", "break_time": "15:00~16:30"},
        (1020, 1380),
        None,
        "break_outside_hours",
    ),
    (
        "break_outside_hours",
        {"openHour": "10:00~21:00", "break_time": "20:30~21:30"},
        (600, 1260),
        None,
        "break_outside_hours",
    ),
    ("break_inside_text", {"openHour": "11:00~21:00 (브레이크타임 15:00~17:00)"}, (660, 1260), (900, 1020), None),
    ("hours_last_order", {"openHour": "11:30~20:30 (라스트오더 19:50)"}, (690, 1230), None, None),
    ("hours_by_weekday", {"openHour": "평일 10:00~21:00, 주말 11:00~20:00"}, (660, 1200), None, "several_hours"),
    ("hours_unreadable", {"openHour": "사장님 기분 따라"}, None, None, "unreadable_hours"),
    ("hours_unreadable", {"openHour": "27:80~99:00"}, None, None, "unreadable_hours"),
    ("hours_blank", {"openHour": None}, None, None, None),
    ("hours_only_opening", {"openHour": "10:00"}, None, None, "no_closing_time"),
)


def plant_hours(world: World) -> None:
    for trait, cells, span, pause, rule in HOURS:
        row = world.take("shop", lambda row: world.shops[str(row["id"])]["category"] != "편의점")
        row.update({"closeHour": None, "break_time": None, **cells})
        opens, closes = span or (None, None)
        world.shops[str(row["id"])].update(opens=opens, closes=closes, pause=pause)
        world.forget("shop", row, "openHour")
        world.plant(trait, "shop", row, "break_time" if "break_time" in cells else "openHour", rule)
    for cell, days, rule in (
        ("매월 둘째 주 화요일", (1,), "some_weeks_only"),
        ("공휴일 휴무", (), "holidays_not_kept"),
        ("토·일요일", (5, 6), None),
        ("사정에 따라", (), "unreadable_closed_days"),
    ):
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
    for change in (
        lambda name: f" {name} ",
        _spaced,
        lambda name: name.replace(" ", "") if " " in name else _spaced(name),
    ):
        _plant_duplicate(world, change)
    twin = world.add(
        "shop", id=world.sheets["shop"].rows[5]["id"], shopName="번호가 같은 가게", category="분식", status="OPEN"
    )
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
    shop = shop_truth(rng, "분식", shop_name(rng, "분식", used), showcase=False)
    row = write_shop(world, shop)
    row["deletedAt"] = None
    make_menus(world, shop, row)
    return row


def _drop_shop(world: World, row: Row, rule: str) -> None:
    shop_id = str(row["id"])
    del world.shops[shop_id]
    world.refuse("shop", row, rule)
    world.forget("shop", row)
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
    world.add(
        "userfavorite",
        userId=next(user for user in range(1, 10**6) if user not in fans),
        shopId=copy["id"],
        is_deleted=0,
    )
    fresh: Row = {
        "shop_id": str(copy["id"]),
        "name": "나비 정식",
        "price": 7000,
        "section": section,
        "description": None,
        "allergens": None,
        "best": False,
        "sold_out": False,
        "discount": None,
    }
    row = write_menu(world, fresh, copy["id"], 1)
    world.menus[str(row["id"])]["shop_id"] = str(original["id"])
    known = next(menu for menu in dishes if menu["price"] and re.fullmatch("[가-힣]+", menu["name"]))
    again = world.add(
        "shop_menu",
        store_id=copy["id"],
        menu_name=f"{known['name']} ",
        price=known["price"],
        menuCategoryId=section["id"],
    )
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
        "사장님 번호 010-0034-5678 로 연락했어요",
        "김하늘이랑 같이 갔어요",
        "저는 새봄초등학교 3학년이에요",
        "카톡 nabi1234 로 연락 줘",
        "우리 가람이가 좋아해요",
        "child0001@example.com",
        "101동 1203호로 배달 왔어요",
        "박누리님 감사합니다",
    ):
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
    for column, cell, rule in (
        ("deletedAt", datetime(2026, 6, 1), "soft_deleted"),
        ("is_blind", 1, "hidden_by_operator"),
    ):
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
    world.sheets["shop"].merged = (
        ("가게 정보", "id", "longitude"),
        ("소개", "shop_message", "isGoodInfluenceShop"),
        ("영업", "openHour", "closedDays"),
        ("배달", "is_delivery", "min_order_price"),
    )


def plant_all(world: World) -> None:
    """All the dirt, in an order that lets later pieces hang on earlier ones."""
    reserve(world)
    for plant in (plant_prices, plant_flags, plant_menu_texts, plant_shop_texts, plant_hours):
        plant(world)
    plant_menu_refusals(world)
    plant_shop_refusals(world)
    plant_coupons(world)
    plant_reviews(world)
