"""What the workbook says once it has been read and checked: shops, menus and what belongs to them.

Only what may be said to a child is here. Users, cards, orders, wallets and locations of people stay in the
workbook: no type of this module can hold them, so no dialogue can leak them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, time


@dataclass(frozen=True, slots=True)
class Hours:
    """Opening hours of one day of work; `closes` before or equal to `opens` means past midnight."""

    opens: time
    closes: time
    break_starts: time | None = None
    break_ends: time | None = None

    def open_at(self, moment: time) -> bool:
        """True while the shop serves; 24-hour shops have `opens == closes`."""
        if self.break_starts and self.break_ends and self.break_starts <= moment < self.break_ends:
            return False
        if self.opens < self.closes:
            return self.opens <= moment < self.closes
        return moment >= self.opens or moment < self.closes


@dataclass(frozen=True, slots=True)
class Menu:
    """Something a shop sells. `price` is in won; None when the workbook does not say ("시가", 0, blank).

    `discount_value` is in won, to be taken off `price`. `allergens` are the names of the law's list; an empty
    tuple means the shop says there are none, None means the shop does not say: never tell a child that such a
    menu is safe.
    """

    menu_id: str
    shop_id: str
    name: str
    price: int | None
    category: str | None = None
    description: str | None = None
    is_best: bool = False
    is_sold_out: bool = False
    discount_value: int | None = None
    allergens: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon that shops or menus accept: `value` won off, or `percent` off; `min_order` is in won."""

    coupon_id: str
    name: str
    value: int | None
    shop_ids: tuple[str, ...] = ()
    menu_ids: tuple[str, ...] = ()
    percent: int | None = None
    min_order: int | None = None
    valid_from: date | None = None
    valid_until: date | None = None

    def valid_on(self, day: date) -> bool:
        """True when the coupon can be used on that day, both ends included; a missing end is open."""
        return (self.valid_from or day) <= day <= (self.valid_until or day)


@dataclass(frozen=True, slots=True)
class Shop:
    """A place that takes the meal card. `hours` None: the workbook does not say when it is open.

    `closed_days` counts as `datetime.weekday` does: 0 is Monday. `delivers` None: not said. `delivery_fee` and
    `min_order` are in won; a fee of 0 is free delivery, None is not said. `rating` is a mean from 1 to 5.
    """

    shop_id: str
    name: str
    category: str
    is_good_influence: bool = False
    message: str | None = None
    hours: Hours | None = None
    closed_days: frozenset[int] = frozenset()
    address: str | None = None
    delivers: bool | None = None
    rating: float | None = None
    num_favorites: int = 0
    review_snippets: tuple[str, ...] = ()
    delivery_fee: int | None = None
    min_order: int | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The usable part of a workbook, ordered by id so that the same workbook gives the same bytes."""

    shops: tuple[Shop, ...]
    menus: tuple[Menu, ...]
    coupons: tuple[Coupon, ...] = ()
    source_digest: str = ""
    menus_by_shop: dict[str, tuple[Menu, ...]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        grouped: dict[str, list[Menu]] = {}
        for menu in self.menus:
            grouped.setdefault(menu.shop_id, []).append(menu)
        object.__setattr__(self, "menus_by_shop", {key: tuple(value) for key, value in grouped.items()})

    def shop(self, shop_id: str) -> Shop:
        """The shop of that id; KeyError when there is none."""
        return self._shops_by_id[shop_id]

    @property
    def _shops_by_id(self) -> dict[str, Shop]:
        return {shop.shop_id: shop for shop in self.shops}
