"""Finds the few facts of the catalogue that fit a question.

Training dialogues and the live chat both get their facts here, so what is learned is what is served.

What holds for every answer: nothing sold out, nothing without a price where a price is told, nothing above the
budget or the meal card's daily limit, nothing that is not for children. Where a shop is recommended, it is open
at that moment. Questions about allergens, coupons and delivery tell what is known of a dish or a shop at any hour,
open shops first, and with their hours where one may order; a shop that was named tells its hours on every day on
which it opens. With "지금" in the question only open ones.

The ranking, in this order: the dish of exactly that name, the cheaper one where something cheap is wanted,
good-influence shop, best-seller; all equal, a stable hash of the question decides, so that not always the same
shop is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from nabi.catalogue.intents import Kind, Vocabulary, Wish, hour_wanted, squeeze, understand, vocabulary_of
from nabi.catalogue.model import Catalogue, Coupon, Hours, Menu, Shop
from nabi.conversations.records import Fact, Message
from nabi.errors import DataError

MAX_FACTS = 3
LOCAL_TIME = ZoneInfo("Asia/Seoul")
LONGEST_MESSAGE = 24
"""An owner's message above this many characters is left out: it would crowd out the rest of the prompt."""

NOT_FOR_CHILDREN = ("소주", "맥주", "막걸리", "와인", "하이볼", "칵테일", "담배", "생맥", "청주")


@dataclass(frozen=True, slots=True)
class Lookup:
    """What was asked (`kind`) and the fitting facts, best first; none when nothing fits or nothing was asked for."""

    kind: Kind
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class _Offer:
    """One menu at its shop; `key` is the menu's name as names are compared."""

    shop: Shop
    menu: Menu
    key: str


@dataclass(frozen=True, slots=True)
class _Index:
    offers: tuple[_Offer, ...]
    vocabulary: Vocabulary


@dataclass(frozen=True, slots=True)
class _Question:
    """Everything that a finder needs to answer one question."""

    catalogue: Catalogue
    offers: tuple[_Offer, ...]
    wish: Wish
    now: datetime
    limit: int


def find_facts(
    catalogue: Catalogue, question: str, history: Sequence[Message], now: datetime, daily_limit: int
) -> Lookup:
    """At most three facts that fit the question.

    Args:
        history: the turns before the question, oldest first; "거기" and "더 싼 거" are resolved from them.
        now: the moment of asking, with a zone; opening hours are compared in Korean local time.
        daily_limit: what the meal card pays a day, in won; nothing above it is offered.

    Raises:
        DataError: `now` has no zone.
    """
    if now.tzinfo is None:
        raise DataError("the time of the question has no zone.", where="now", fix="Write 2026-07-01T12:00:00+09:00.")
    index = _index(catalogue)
    wish = understand(question, history, index.vocabulary)
    limit = daily_limit if wish.max_price is None else min(wish.max_price, daily_limit)
    asked = _Question(catalogue, index.offers, wish, now.astimezone(LOCAL_TIME), limit)
    finder = _FINDERS.get(wish.kind)
    return Lookup(wish.kind, tuple(finder(asked)[:MAX_FACTS]) if finder else ())


def is_open(shop: Shop, now: datetime) -> bool:
    """True when the workbook says that the shop serves at `now` (local time); unknown hours count as closed.

    After midnight the day that counts for weekly holidays is the one on which the shop opened.
    """
    hours = shop.hours
    if hours is None or not hours.open_at(now.time()):
        return False
    past_midnight = hours.closes <= hours.opens and now.time() < hours.closes
    return (now - timedelta(days=past_midnight)).weekday() not in shop.closed_days


def won(amount: int) -> str:
    """4500 → "4,500원"."""
    return f"{amount:,}원"


def hours_text(hours: Hours) -> str:
    """ "10:00~21:00", "14:00~24:00", or "24시간"."""
    if hours.opens == hours.closes:
        return "24시간"
    closes = f"{hours.closes:%H:%M}" if hours.closes != time(0) else "24:00"
    return f"{hours.opens:%H:%M}~{closes}"


def _hours_fact(shop: Shop) -> Fact:
    return {"영업시간": hours_text(shop.hours)} if shop.hours else {}


_indexes: dict[int, tuple[Catalogue, _Index]] = {}


def _index(catalogue: Catalogue) -> _Index:
    """The catalogue prepared for search, made once for each catalogue object.

    Kept by identity: hashing a thousand menus on every question would cost more than the search.
    """
    held = _indexes.get(id(catalogue))
    if held is None:
        if len(_indexes) >= 8:
            _indexes.clear()
        held = _indexes[id(catalogue)] = (catalogue, _prepared(catalogue))
    return held[1]


def _prepared(catalogue: Catalogue) -> _Index:
    shops = {shop.shop_id: shop for shop in catalogue.shops}
    offers = tuple(
        _Offer(shops[menu.shop_id], menu, squeeze(menu.name))
        for menu in catalogue.menus
        if menu.shop_id in shops and not menu.is_sold_out and not any(w in menu.name for w in NOT_FOR_CHILDREN)
    )
    vocabulary = vocabulary_of(
        (shop.name for shop in catalogue.shops),
        (menu.name for menu in catalogue.menus),
        (shop.category for shop in catalogue.shops),
    )
    return _Index(offers, vocabulary)


def _affordable(asked: _Question) -> list[_Offer]:
    """Offers at open shops that fit every wish of the question, best first."""
    wish = asked.wish
    open_shops = {shop.shop_id for shop in asked.catalogue.shops if _serves(shop, asked)}
    fitting = [
        offer
        for offer in asked.offers
        if offer.shop.shop_id in open_shops
        and offer.menu.price is not None
        and offer.menu.price <= asked.limit
        and _fits_place(offer.shop, wish)
        and _fits_dish(offer, wish)
    ]
    return _ranked(fitting, wish)


def _serves(shop: Shop, asked: _Question) -> bool:
    """Open now, and still (or already) open at the hour that the question names."""
    if not is_open(shop, asked.now):
        return False
    hour = hour_wanted(asked.wish, asked.now.time())
    until = timedelta(minutes="까지" in asked.wish.text)  # "10시까지" fits a shop that closes at ten
    return hour is None or is_open(shop, _next(hour, asked.now) - until)


def _next(hour: time, now: datetime) -> datetime:
    moment = now.replace(hour=hour.hour, minute=hour.minute, second=0, microsecond=0)
    return moment if moment > now else moment + timedelta(days=1)


def _fits_place(shop: Shop, wish: Wish) -> bool:
    if wish.shop is not None and shop.name != wish.shop:
        return False
    if shop.name in wish.not_shops or (wish.good and not shop.is_good_influence):
        return False
    return not wish.categories or any(stem in shop.category for stem in wish.categories)


def _fits_dish(offer: _Offer, wish: Wish) -> bool:
    return not wish.dishes or any(dish in offer.key for dish in wish.dishes)


def _ranked(offers: Iterable[_Offer], wish: Wish) -> list[_Offer]:
    def rank(offer: _Offer) -> tuple[bool, int, bool, bool, str]:
        return (
            offer.key not in wish.dishes,
            (offer.menu.price or 0) if wish.cheap else 0,
            not offer.shop.is_good_influence,
            not offer.menu.is_best,
            _stable_hash(wish.text, offer.menu.menu_id),
        )

    return sorted(offers, key=rank)


def _stable_hash(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).hexdigest()


def _one_per_shop(offers: Iterable[_Offer]) -> Iterator[_Offer]:
    """The best offer of each shop, so that three facts are three places."""
    seen: set[str] = set()
    for offer in offers:
        if offer.shop.name not in seen:
            seen.add(offer.shop.name)
            yield offer


def _priced(offer: _Offer) -> Fact:
    return {"가게": offer.shop.name, "메뉴": offer.menu.name, "가격": won(offer.menu.price or 0)}


def _dish_fact(offer: _Offer) -> Fact:
    return _priced(offer) | ({"착한가게": "예"} if offer.shop.is_good_influence else {})


def _find_dishes(asked: _Question) -> list[Fact]:
    wish = asked.wish
    if wish.kind == "menu" and not wish.dishes:
        return []
    return [_dish_fact(offer) for offer in _one_per_shop(_affordable(asked))]


def _find_categories(asked: _Question) -> list[Fact]:
    found = _one_per_shop(_affordable(asked))
    return [{"가게": offer.shop.name, "분류": offer.shop.category} | _dish_fact(offer) for offer in found]


def _find_open(asked: _Question) -> list[Fact]:
    found = _one_per_shop(_affordable(asked))
    facts = [{"가게": offer.shop.name} | _hours_fact(offer.shop) | _priced(offer) for offer in found]
    return facts or (_find_hours(asked) if asked.wish.ask == "hours" else [])


def _find_good(asked: _Question) -> list[Fact]:
    facts = [_dish_fact(offer) for offer in _one_per_shop(_affordable(asked))]
    messages = {shop.name: shop.message for shop in asked.catalogue.shops}
    for fact in facts:
        message = messages.get(fact["가게"])
        if message and len(message) <= LONGEST_MESSAGE and message.endswith(("요", "죠", "다")):
            fact["사장님 말씀"] = message
    return facts


def _find_best(asked: _Question) -> list[Fact]:
    best = [offer for offer in _affordable(asked) if offer.menu.is_best]
    return [
        {"가게": o.shop.name, "대표메뉴": o.menu.name, "가격": won(o.menu.price or 0)}
        for o in (best if asked.wish.shop else _one_per_shop(best))
    ]


def _find_follow_up(asked: _Question) -> list[Fact]:
    """Hours, prices or other menus of the shop that was named, or the earlier question asked again more narrowly."""
    wish = asked.wish
    if wish.ask in ("cheaper", "another"):
        return [_priced(offer) for offer in _one_per_shop(_affordable(asked))]
    if wish.ask == "hours":
        return _find_hours(asked)
    offers = _affordable(asked)
    if wish.ask == "price":
        said = [o for o in offers if o.key in wish.said_menus]
        return [_priced(o) for o in said or offers][:1]
    return [_priced(o) for o in offers if o.key not in wish.said_menus]


def _find_hours(asked: _Question) -> list[Fact]:
    """The hours of the shop that was named, before it opens and after it closed too; none on its day off."""
    named = (shop for shop in asked.catalogue.shops if shop.name == asked.wish.shop)
    told = (shop for shop in named if shop.hours and _opens_on_the_day(shop, asked.now) and _may_be_told(shop, asked))
    return [{"가게": shop.name} | _hours_fact(shop) for shop in told][:1]


def _opens_on_the_day(shop: Shop, now: datetime) -> bool:
    return is_open(shop, now) or now.weekday() not in shop.closed_days


def _find_allergens(asked: _Question) -> list[Fact]:
    """What a dish contains; or, where the question is what may be eaten, dishes without the allergen."""
    wish = asked.wish
    fitting = (o for o in asked.offers if o.menu.allergens is not None and _fits_place(o.shop, wish))
    known = [o for o in fitting if _fits_dish(o, wish) and _may_be_told(o.shop, asked)]
    if wish.choice or not (wish.dishes or wish.shop):
        known = [o for o in known if not _held(o.menu, wish) and (o.menu.price or 0) <= asked.limit]
    ranked = sorted(_ranked(known, wish), key=lambda offer: not is_open(offer.shop, asked.now))
    return [_allergy_fact(offer, wish) for offer in _one_per_shop(ranked)]


def _allergy_fact(offer: _Offer, wish: Wish) -> Fact:
    """The comparison with the child's allergen is made here: no model is trusted with it."""
    listed = ", ".join(offer.menu.allergens or ()) or "없음"
    fact = {"가게": offer.shop.name, "메뉴": offer.menu.name, "알레르기": listed}
    return fact | ({"주의": ", ".join(held)} if (held := _held(offer.menu, wish)) else {})


def _held(menu: Menu, wish: Wish) -> list[str]:
    """The menu's allergens among those that the child names."""
    return [held for held in menu.allergens or () if held.startswith(wish.allergens)]


def _may_be_told(shop: Shop, asked: _Question) -> bool:
    return not asked.wish.now_only or is_open(shop, asked.now)


def _find_coupons(asked: _Question) -> list[Fact]:
    """One fact for each coupon and a place where it is valid."""
    wish = asked.wish
    pairs = [
        (coupon, shop)
        for coupon in asked.catalogue.coupons
        if (coupon.value or coupon.percent) and coupon.valid_on(asked.now.date())
        for shop in _places(coupon, asked)
        if _fits_place(shop, wish) and _may_be_told(shop, asked)
    ]
    pairs.sort(key=lambda p: (not is_open(p[1], asked.now), _stable_hash(wish.text, p[0].coupon_id, p[1].shop_id)))
    seen: set[str] = set()
    facts: list[Fact] = []
    for coupon, shop in pairs:
        if shop.name not in seen:
            seen.add(shop.name)
            facts.append(_coupon_fact(coupon, shop))
    return facts


def _coupon_fact(coupon: Coupon, shop: Shop) -> Fact:
    fact = {"쿠폰": coupon.name, "할인": won(coupon.value) if coupon.value else f"{coupon.percent}%", "가게": shop.name}
    if coupon.min_order:
        fact["조건"] = f"{won(coupon.min_order)} 이상"
    return fact


def _places(coupon: Coupon, asked: _Question) -> list[Shop]:
    """Shops that take the coupon, for the dish that is asked for when one is."""
    wish = asked.wish
    sells = {o.shop.shop_id for o in asked.offers if wish.dishes and _fits_dish(o, wish)}
    named = {o.shop.shop_id for o in asked.offers if o.menu.menu_id in coupon.menu_ids and _fits_dish(o, wish)}
    taken = set(coupon.shop_ids) & (sells if wish.dishes else set(coupon.shop_ids))
    return [shop for shop in asked.catalogue.shops if shop.shop_id in taken | named]


def _find_delivery(asked: _Question) -> list[Fact]:
    """Shops that deliver; one that does not is told of only when the question names it."""
    wish = asked.wish
    sells = {o.shop.shop_id for o in asked.offers if _fits_dish(o, wish)}
    shops = [
        shop
        for shop in asked.catalogue.shops
        if (shop.delivers or (wish.shop and shop.delivers is not None))
        and shop.shop_id in sells
        and _fits_place(shop, wish)
        and _may_be_told(shop, asked)
    ]
    shops.sort(
        key=lambda shop: (
            not is_open(shop, asked.now),
            not shop.is_good_influence,
            _stable_hash(wish.text, shop.shop_id),
        )
    )
    return [_delivery_fact(shop) for shop in shops]


def _delivery_fact(shop: Shop) -> Fact:
    if not shop.delivers:
        return {"가게": shop.name, "배달": "불가"}
    fact = {"가게": shop.name, "배달": "가능"}
    if shop.delivery_fee is not None:
        fact["배달비"] = won(shop.delivery_fee) if shop.delivery_fee else "무료"
    return fact | _hours_fact(shop)


_FINDERS: dict[Kind, Callable[[_Question], list[Fact]]] = {
    "category": _find_categories,
    "menu": _find_dishes,
    "budget": _find_dishes,
    "time": _find_open,
    "trait": _find_good,
    "best": _find_best,
    "followup": _find_follow_up,
    "coupon": _find_coupons,
    "allergy": _find_allergens,
    "delivery": _find_delivery,
}
