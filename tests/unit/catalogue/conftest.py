"""A hand-made town of twelve shops, and workbooks: the shipped one and small ones made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from nabi.catalogue.model import Catalogue, Coupon, Hours, Menu, Shop
from nabi.catalogue.workbook import WorkbookReading, read_workbook

MON, TUE, WED, THU, FRI, SAT, SUN = range(7)

# name, category, good influence, hours, closed days, delivers, fee, message, menus;
# a menu: name, price (- unknown, * best-seller, ! sold out), allergens in brackets where they are known
_TOWN: tuple[tuple[str, str, bool, str, tuple[int, ...], bool | None, int | None, str | None, str], ...] = (
    ("해맑은분식", "분식", True, "10:00-21:00", (), True, 2000, "눈치 보지 말고 먹고 가요",
     "떡볶이 4500* (밀,대두); 치즈떡볶이 5500 (밀,대두,우유); 참치김밥 4000 (난류,대두); 어묵탕 3500! (대두,밀)"),
    ("도담김밥", "분식", False, "09:00-20:00", (SUN,), False, None, None,
     "야채김밥 3000* (난류); 로제떡볶이 6500 (밀,우유); 라면 3500 (밀); 김치볶음밥 6000"),
    ("새싹떡볶이", "분식", False, "11:00-22:00", (WED,), True, 0, None, "떡볶이 4000*; 모둠튀김 4500 (밀,새우)"),
    ("느린거북밥상", "한식", True, "11:00-20:30/15:00-17:00", (), True, None, "밥은 더 드려요",
     "비빔밥 7500* (난류,대두); 된장찌개 7000 (대두); 불고기덮밥 8000 (쇠고기); 막걸리 4000"),
    ("파란대문식당", "한식", False, "08:00-20:00", (SUN,), None, None, None,
     "콩나물국밥 6500*; 김치찌개 7500; 갈비찜 19000"),
    ("은하수반점", "중식", False, "11:00-21:30", (MON,), True, 3000, None,
     "짜장면 6500* (밀,대두); 짬뽕 8000; 군만두 5000; 탕수육 15000"),
    ("종달새돈까스", "일식", True, "11:00-21:00", (TUE,), False, None, "혼자 와도 좋아요",
     "등심돈까스 8000* (돼지고기,밀); 우동 6000 (밀,대두)"),
    ("폴짝치킨", "치킨", False, "15:00-02:00", (THU,), True, 2500, None,
     "후라이드치킨 16000*; 치킨텐더 6500; 감자튀김 3500 (); 생맥주 4000"),
    ("다온편의점", "편의점", False, "00:00-00:00", (), False, None, None,
     "참치마요삼각김밥 1300* (난류,대두); 컵라면 1500; 불고기도시락 5200; 바나나우유 1700 (우유)"),
    ("윤슬베이커리", "카페·베이커리", True, "08:00-20:00", (MON,), False, None, "천천히 쉬었다 가요",
     "소금빵 3200* (밀,우유); 단팥빵 2500 (밀); 레몬에이드 4500 ()"),
    ("꼬마버거", "패스트푸드", False, "10:00-22:00", (), True, 1000, None,
     "불고기버거 4500* (쇠고기,밀); 치즈버거 4800 (우유,밀); 핫도그 2500"),
    ("어디선가도시락", "도시락", False, "", (), True, 1000, None,
     "돈까스도시락 6900*; 시가도시락 -"),
)  # fmt: skip


@pytest.fixture(scope="session")
def town() -> Catalogue:
    """Twelve shops with what the lookup must mind: holidays, breaks, sold-out dishes, unknown hours and prices."""
    shops: list[Shop] = []
    menus: list[Menu] = []
    for number, (name, category, good, hours, closed, delivers, fee, message, dishes) in enumerate(_TOWN, start=1):
        shop_id = f"s{number:02}"
        shops.append(
            Shop(
                shop_id=shop_id,
                name=name,
                category=category,
                is_good_influence=good,
                message=message,
                hours=_hours(hours),
                closed_days=frozenset(closed),
                delivers=delivers,
                delivery_fee=fee,
            )
        )
        menus += [_menu(f"{shop_id}m{n}", shop_id, text.strip()) for n, text in enumerate(dishes.split(";"), start=1)]
    coupons = (
        Coupon("c1", "든든 한 끼 쿠폰", 1000, shop_ids=("s01", "s04")),
        Coupon("c2", "달콤 쿠폰", 500, menu_ids=("s10m1",)),
        Coupon("c3", "빈 쿠폰", None, shop_ids=("s02",)),
    )
    return Catalogue(tuple(shops), tuple(menus), coupons)


def _hours(text: str) -> Hours | None:
    if not text:
        return None
    spans = [time.fromisoformat(part) for span in text.split("/") for part in span.split("-")]
    return Hours(*spans)


def _menu(menu_id: str, shop_id: str, text: str) -> Menu:
    name, price, *more = text.split()
    allergens = None
    if more:
        allergens = tuple(a for a in more[0].strip("()").split(",") if a)
    amount = price.strip("*!")
    return Menu(
        menu_id=menu_id,
        shop_id=shop_id,
        name=name,
        price=None if amount == "-" else int(amount),
        is_best="*" in price,
        is_sold_out="!" in price,
        allergens=allergens,
    )


@pytest.fixture
def write_workbook(tmp_path: Path) -> Callable[[dict[str, list[list[Any]]]], Path]:
    """Writes a workbook from rows by sheet name."""

    def write(sheets: dict[str, list[list[Any]]]) -> Path:
        book = Workbook()
        book.remove(book["Sheet"])
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(row)
        path = tmp_path / "book.xlsx"
        book.save(path)
        return path

    return write


@pytest.fixture(scope="session")
def sample_reading() -> WorkbookReading:
    """The shipped workbook, read once."""
    return read_workbook(Path(__file__).parents[3] / "sample_data.xlsx")
