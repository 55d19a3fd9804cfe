"""The clean service: people, companies, shops with their menus, coupons and what users did, written by many hands."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from typing import Any

from sample_data import words
from sample_data.hands import allergen_cells, clock, closed_cell, flag, hours_cells, typical_hours, won
from sample_data.world import SHOWCASE, Row, World


def make_people(world: World, num: int) -> None:
    """Users and everything private about them. Nothing here may ever reach a dialogue."""
    rng = world.rng
    for number in range(1, num + 1):
        name = _person(rng)
        phone = f"010-00{rng.randrange(100):02d}-{rng.randrange(10000):04d}"
        street = f"{words.CITY} {rng.choice(words.DISTRICTS)} {rng.choice(words.STREETS)}"
        address = f"{street} {rng.randrange(100, 900)}동 {rng.randrange(101, 1900)}호"
        gone = datetime(2026, 5, 1) if rng.random() < 0.05 else None
        born = date(rng.randrange(2009, 2019), rng.randrange(1, 13), rng.randrange(1, 28))
        world.add(
            "user",
            name=name,
            nickName=f"{rng.choice(words.NICKNAMES)}{number}",
            phone=phone,
            email=f"child{number:04d}@example.com",
            birth=rng.choice([born, born.isoformat()]),
            guardian_phone=rng.choice([phone.replace("-", ""), None]),
            created_at=_moment(rng),
            withdrawnAt=gone,
        )
        world.add("user_location", user_id=number, lat=36 + rng.random(), lng=127 + rng.random(), address=address)
        if rng.random() < 0.8:
            card = f"0000{rng.randrange(10**12):012d}"
            world.add(
                "foodcard",
                userId=number,
                card_no=card,
                card_holder=name,
                issuer=words.CITY,
                daily_limit=rng.choice([8000, "8,000원", 9500]),
                expiresAt=date(2027, 12, 31),
            )
        if rng.random() < 0.4:
            wallet = world.add(
                "giftcard_wallet", userId=number, giftcard_id=rng.randrange(1, 5), balance=rng.randrange(0, 50) * 1000
            )
            for _ in range(rng.randrange(1, 4)):
                world.add(
                    "giftcard_wallet_transaction",
                    walletId=wallet["id"],
                    amount=rng.randrange(1, 10) * 1000,
                    kind=rng.choice(["USE", "CHARGE"]),
                    created_at=_moment(rng),
                )
        for _ in range(rng.randrange(0, 4)):
            world.add(
                "point_transaction",
                user_id=number,
                point=rng.choice([10, 50, 100, "100P"]),
                reason=rng.choice(["출석", "리뷰 작성", "이벤트"]),
                createdAt=_moment(rng),
            )


def _moment(rng: random.Random) -> datetime:
    return datetime(2025, 1, 1) + timedelta(minutes=rng.randrange(60 * 24 * 540))


def _person(rng: random.Random) -> str:
    return rng.choice(words.SURNAMES) + rng.choice(words.GIVEN_NAMES)


def _office_phone(rng: random.Random) -> str:
    return f"000-{rng.randrange(1000):03d}-{rng.randrange(10000):04d}"


def _stated_flag(rng: random.Random, value: bool | None) -> Any:
    """A flag whose blank means that nobody said."""
    if value is None:
        return None
    return rng.choice([1, "Y", True] if value else [0, "N", False])


def make_companies(world: World) -> None:
    """Brands, products, partners, sponsors, couriers: small tables that a child's question never needs."""
    rng = world.rng
    for name in ("씨앗마트25", "새참편의점", "구름버거", "방울피자", "꼬꼬네치킨", "하루도시락"):
        world.add(
            "brand",
            brandName=name,
            company=f"{name} 본사",
            logo_url=f"https://img.example.com/{rng.randrange(1000)}.png",
        )
    for name in ("나눔식품", "새봄제과", "들꽃문구", "한아름유통"):
        world.add(
            "product_company",
            name=name,
            ceo_name=_person(rng),
            phone=_office_phone(rng),
        )
    for name in (
        "즉석밥 12개",
        "참치캔 6개",
        "색연필 24색",
        "우유 쿠폰",
        "과일 꾸러미",
        "물티슈",
        "칫솔 세트",
        "공책 5권",
    ):
        world.add(
            "products",
            productName=name,
            company_id=rng.randrange(1, 5),
            price=won(rng, rng.randrange(3, 20) * 1000),
            stock=rng.randrange(100),
            is_deleted=flag(rng, False),
        )
    for kind in ("음료", "빵", "아이스크림"):
        world.add("coop_category", name=kind, sortOrder=len(world.sheets["coop_category"].rows))
    for name in ("기프트나라", "모아쿠폰"):
        world.add("coop_company", name=name, contact_phone=f"1500-{rng.randrange(10000):04d}")
    for name in ("달콤제과", "시원음료", "포근우유"):
        world.add("coop_brand", brand_name=name, companyId=rng.randrange(1, 3))
        world.add(
            "coop_coupon",
            coopBrandId=len(world.sheets["coop_brand"].rows),
            coop_category_id=rng.randrange(1, 4),
            name=f"{name} 교환권",
            price=won(rng, 3000),
            valid_days=rng.choice([30, "30일"]),
        )
    for value in (5000, 10000, 30000, 50000):
        world.add("giftcard", name=f"새봄상품권 {value:,}원", faceValue=value, is_active=flag(rng, True))
    for name in ("해솔재단", "이웃사랑회", "푸른손길"):
        world.add(
            "sponsor",
            name=name,
            contact_name=_person(rng),
            phone=_office_phone(rng),
            amount=rng.randrange(1, 50) * 100000,
        )
    for name in ("빠른택배", "든든택배"):
        world.add(
            "courier",
            name=name,
            phone=f"1500-{rng.randrange(10000):04d}",
            tracking_url="https://track.example.com/?no=",
        )


def make_shops(world: World, num: int) -> None:
    """`num` live shops over the ten categories, each with its menus and menu categories."""
    rng = world.rng
    categories = list(words.SHOP_ENDINGS)
    names = {SHOWCASE}
    for number in range(num):
        category = "분식" if number == 0 else categories[number % len(categories)]
        name = SHOWCASE if number == 0 else shop_name(rng, category, names)
        shop = shop_truth(rng, category, name, showcase=number == 0)
        row = write_shop(world, shop)
        make_menus(world, shop, row)


def shop_name(rng: random.Random, category: str, used: set[str]) -> str:
    while True:
        gap = rng.choice(["", " "])
        name = f"{rng.choice(words.SHOP_WORDS)}{gap}{rng.choice(words.SHOP_ENDINGS[category])}"
        key = name.replace(" ", "")
        if key not in used:
            used.add(key)
            return name


def shop_truth(rng: random.Random, category: str, name: str, *, showcase: bool) -> Row:
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


def write_shop(world: World, shop: Row) -> Row:
    rng = world.rng
    open_cell, close_cell, way = hours_cells(rng, shop["opens"], shop["closes"])
    pause = f"{clock(shop['pause'][0])}~{clock(shop['pause'][1])}" if shop["pause"] else None
    fee = None if shop["fee"] is None else won(rng, shop["fee"]) if shop["fee"] else rng.choice([0, "무료"])
    spellings = words.CATEGORY_SPELLINGS.get(shop["category"], (shop["category"],))
    row = world.add(
        "shop",
        shopName=shop["name"],
        category=rng.choice(spellings),
        brand_id=rng.choice([None, None, rng.randrange(1, 7)]),
        business_no=f"000-{rng.randrange(100):02d}-{rng.randrange(100000):05d}",
        ownerName=_person(rng),
        phone=_office_phone(rng),
        address=shop["address"],
        latitude=36 + rng.random(),
        longitude=127 + rng.random(),
        shop_message=shop["message"],
        isGoodInfluenceShop=flag(rng, shop["good"]),
        openHour=open_cell,
        closeHour=close_cell,
        break_time=pause,
        closedDays=closed_cell(rng, shop["closed_days"]),
        is_delivery=_stated_flag(rng, shop["delivers"]),
        deliveryFee=fee,
        min_order_price=None if shop["min_order"] is None else won(rng, shop["min_order"]),
        status=rng.choice(["OPEN", "OPEN", "영업중", "open"]),
        createdAt=_moment(rng),
        updated_at=_moment(rng).isoformat(" "),
        deletedAt=rng.choice([None, None, None, "0000-00-00 00:00:00", "NULL"]),
    )
    if way not in ("hours_text", "hours_spoken", "hours_two_columns", "hours_excel_time"):
        world.plant(way, "shop", row, "openHour", None)
    world.shops[str(row["id"])] = shop
    return row


def make_menus(world: World, shop: Row, shop_row: Row) -> None:
    rng = world.rng
    sections = [
        world.add(
            "shop_menu_category",
            shopId=shop_row["id"],
            category_name=name,
            sortOrder=order,
            is_deleted=flag(rng, False),
        )
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
            "sold_out": rng.random() < 0.07 and shop["name"] != SHOWCASE,
            "discount": rng.choice([500, 1000]) if price >= 4000 and rng.random() < 0.12 else None,
        }
        write_menu(world, menu, shop_row["id"], order)


def write_menu(world: World, menu: Row, shop_id: Any, order: int) -> Row:
    rng = world.rng
    allergens, description = allergen_cells(rng, menu["allergens"], menu["description"] or "")
    row = world.add(
        "shop_menu",
        store_id=shop_id,
        menuCategoryId=menu["section"]["id"],
        menu_name=menu["name"],
        price=won(rng, menu["price"]),
        discount_value=menu["discount"] if menu["discount"] else rng.choice([None, None, 0]),
        description=description or None,
        allergens=allergens,
        is_best=flag(rng, menu["best"]),
        isSoldOut=flag(rng, menu["sold_out"]),
        image_url=f"https://img.example.com/m/{rng.randrange(10**6)}.jpg",
        sort_order=order,
        created_at=_moment(rng),
        deleted_at=rng.choice([None, None, None, None, "NULL"]),
    )
    record = {key: value for key, value in menu.items() if key != "section"}
    world.menus[str(row["id"])] = {**record, "category": menu["section"]["category_name"]}
    return row


def make_options(world: World, num: int) -> None:
    rng = world.rng
    for menu in rng.sample(world.sheets["shop_menu"].rows, num):
        group = world.add(
            "shop_menu_option_category",
            menu_id=menu["id"],
            name=rng.choice(["맵기", "사이즈", "토핑"]),
            isRequired=flag(rng, True),
            max_select=1,
        )
        for name in rng.choice([("순한맛", "보통맛", "매운맛"), ("보통", "곱빼기"), ("치즈 추가", "계란 추가")]):
            world.add(
                "shop_menu_option",
                optionCategoryId=group["id"],
                name=name,
                price=rng.choice([0, 500, "500원", 1000]),
                is_sold_out=flag(rng, False),
            )


def make_coupons(world: World, num: int) -> None:
    """Coupons in won or percent, with the shops and menus that take them."""
    rng = world.rng
    shops = list(world.sheets["shop"].rows)
    menus = list(world.sheets["shop_menu"].rows)
    titles = (
        "첫 방문 쿠폰",
        "여름방학 쿠폰",
        "착한가게 쿠폰",
        "배달비 쿠폰",
        "생일 축하 쿠폰",
        "점심 쿠폰",
        "빵 쿠폰",
        "주말 쿠폰",
    )
    for number in range(num):
        percent = rng.choice([None, None, None, 10, 20])
        amount = None if percent else rng.choice([500, 1000, 1500, 2000])
        least = rng.choice([None, 5000, 8000])
        until = rng.choice([date(2026, 12, 31), date(2026, 8, 31), date(2026, 7, 31), date(2026, 5, 31)])
        row = world.add(
            "coupon",
            couponName=f"{titles[number % len(titles)]} {number // len(titles) + 1}",
            discount_type="PERCENT" if percent else "AMOUNT",
            discount_value=percent or won(rng, amount or 0),
            minOrderPrice=least,
            start_date=date(2026, 3, 1),
            endDate=rng.choice([until, until.isoformat(), until.isoformat().replace("-", ".")]),
            is_active=flag(rng, True),
            deleted_at=None,
        )
        taken_by = [str(shop["id"]) for shop in rng.sample(shops, rng.randrange(2, 6))]
        for shop_id in taken_by:
            world.add("coupon_shop_map", coupon_id=row["id"], shopId=_as_written(shop_id))
        on = [str(menu["id"]) for menu in rng.sample(menus, rng.randrange(0, 4))]
        for menu_id in on:
            world.add("coupon_menu_map", couponId=row["id"], menu_id=int(menu_id))
        if rng.random() < 0.3:
            world.add("coupon_product_map", couponId=row["id"], productId=rng.randrange(1, 9))
        world.coupons[str(row["id"])] = {
            "name": row["couponName"],
            "value": amount,
            "percent": percent,
            "min_order": least,
            "valid_from": "2026-03-01",
            "valid_until": until.isoformat(),
            "shops": sorted(taken_by),
            "menus": sorted(on),
        }


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
            world.add(
                "userfavorite", userId=user, shopId=shop["id"], created_at=_moment(rng), is_deleted=flag(rng, False)
            )
            seen.add((user, shop["id"]))
        for shop in rng.sample(shops, rng.randrange(0, 3)):
            column = rng.choice(["shop_id", "shop_id", "store_id"])
            world.add(
                "review",
                userId=user,
                **{column: shop["id"]},
                rating=rng.choice([5, 5, 4, 4, 3, "5점", 2]),
                content=rng.choice(words.REVIEWS),
                created_at=_moment(rng),
                is_blind=flag(rng, False),
            )
        if rng.random() < 0.3:
            world.add(
                "ticket",
                user_id=user,
                shopId=rng.choice(shops)["id"],
                amount=rng.choice([4500, 8000]),
                used_at=_moment(rng),
                status="USED",
            )
            person = world.sheets["user"].rows[user - 1]
            home = world.sheets["user_location"].rows[user - 1]["address"]
            world.add(
                "product_order",
                userId=user,
                product_id=rng.randrange(1, 9),
                qty=1,
                total=rng.randrange(3, 20) * 1000,
                orderedAt=_moment(rng),
                receiver_name=person["name"],
                receiver_phone=person["phone"],
                address=home,
            )
        if rng.random() < 0.2:
            world.add("coupon_user_map", coupon_id=rng.randrange(1, 10), userId=user, used_at=None)
