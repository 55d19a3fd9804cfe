"""What a child asks for, understood by the tables of `nabi.catalogue.keywords`.

`understand` turns a question (and what was said before it) into a `Wish`; `nabi.catalogue.lookup` answers it
from the catalogue. No model is involved: the same words always give the same wish.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import time
from typing import Literal

from nabi.catalogue.keywords import (
    ALLERGENS,
    ALLERGY,
    ASKING_WORDS,
    ASKS,
    BEST,
    CATEGORY_WORDS,
    CHEAP,
    CHOICE,
    CONTAINS,
    COUPON,
    DAYPART,
    DELIVERY,
    GOOD,
    HOUR,
    ONE_SYLLABLE_FOODS,
    OPEN,
    PARTICLES,
    PLACE_WORDS,
    PLAIN_PRICE,
    REFERENCE,
    SINO,
    SMALLTALK,
    SPELLINGS,
    SPOKEN_PRICE,
    SUGGEST,
    WANTED,
    Ask,
)
from nabi.conversations.records import Message

Kind = Literal[
    "category",
    "menu",
    "budget",
    "time",
    "trait",
    "best",
    "followup",
    "coupon",
    "allergy",
    "delivery",
    "smalltalk",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names that a catalogue holds, squeezed (no spaces, lower case) → as written."""

    shops: tuple[tuple[str, str], ...]
    menus: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked. Prices in won. `shop` and `not_shops` are names as the catalogue writes them."""

    kind: Kind
    text: str
    ask: Ask | None = None
    max_price: int | None = None
    cheap: bool = False
    categories: tuple[str, ...] = ()
    dishes: tuple[str, ...] = ()
    shop: str | None = None
    not_shops: tuple[str, ...] = ()
    said_menus: tuple[str, ...] = ()
    open_at: tuple[int, str] | None = None
    good: bool = False
    allergens: tuple[str, ...] = ()
    choice: bool = False
    now_only: bool = False


def normalise(text: str) -> str:
    """NFC, lower case, single spaces, and the usual misspellings mended."""
    text = " ".join(unicodedata.normalize("NFC", text).lower().split())
    for wrong, right in SPELLINGS.items():
        text = text.replace(wrong, right)
    return text


def squeeze(text: str) -> str:
    """The form in which names are compared: normalised, letters and digits only."""
    return re.sub(r"[^0-9a-z가-힣]", "", normalise(text))


def vocabulary_of(shop_names: Iterable[str], menu_names: Iterable[str], categories: Iterable[str]) -> Vocabulary:
    """The names to look for in questions; longer shop names first, so that a branch wins over its chain."""
    shops = sorted({(squeeze(name), name) for name in shop_names}, key=lambda pair: (-len(pair[0]), pair))
    parts = {part for category in categories for part in re.split(r"[/·,\s]+", category) if len(part) > 1}
    menus = sorted({squeeze(name) for name in menu_names})
    return Vocabulary(tuple(shops), tuple(menus), tuple(sorted(parts)))


def understand(question: str, history: Sequence[Message], vocabulary: Vocabulary) -> Wish:
    """What the question asks for; `history` is the turns before it, and lends what "거기" and "더 싼 거" leave out."""
    wish = _read(normalise(question), vocabulary)
    said = _shop_said(history, vocabulary)
    if said is None or wish.shop is not None:
        return wish
    refers = bool(REFERENCE.search(wish.text))
    if refers and wish.kind in ("allergy", "coupon", "delivery"):
        return replace(wish, shop=said)
    if wish.ask is None or not (refers or wish.ask in ("cheaper", "another") or _is_bare(wish)):
        return wish
    return _follow_up(wish, said, history, vocabulary)


def prices_in(text: str) -> list[int]:
    """Amounts of won in the text: "5,000원", "5천원", "만 오천원", "8천" → 5000, 5000, 15000, 8000."""
    plain = [int((m[1] or m[2]).replace(",", "")) for m in PLAIN_PRICE.finditer(text)]
    return plain + [amount for match in SPOKEN_PRICE.finditer(text) if (amount := _spoken_amount(match))]


def smalltalk_topic(text: str) -> str | None:
    """Which piece of small talk it is: a key of `SMALLTALK`."""
    return next((topic for topic, pattern in SMALLTALK.items() if re.search(pattern, text)), None)


def follow_up_ask(text: str) -> Ask | None:
    """What a follow-up question wants to know of the shop that was named before."""
    return next((ask for ask, pattern in ASKS if pattern.search(normalise(text))), None)


def hour_wanted(wish: Wish, now: time) -> time | None:
    """The hour of day in "밤 10시까지 하는 데"; without a part of the day the next such hour after `now`."""
    if wish.open_at is None:
        return None
    hour, part = wish.open_at
    if part in ("오후", "저녁", "밤", "점심", "낮"):
        late = hour + 12 if 1 <= hour < 12 and not (part in ("점심", "낮") and hour >= 10) else hour
        return time(0 if part == "밤" and hour == 12 else late % 24)
    if part or hour > 12:
        return time(hour % 24)
    return time(hour % 24) if hour > now.hour else time((hour + 12) % 24)


def _read(text: str, vocabulary: Vocabulary) -> Wish:
    """The wish of one question by itself."""
    shop, rest = _take_shop(text, vocabulary)
    categories = _categories_in(rest, vocabulary)
    hour = HOUR.search(rest)
    allergens = _allergens_in(rest) if ALLERGY.search(rest) or CONTAINS.search(rest) else {}
    wish = Wish(
        kind="unknown",
        text=text,
        ask=follow_up_ask(rest),
        max_price=None if "이상" in rest else min(prices_in(rest), default=None),
        cheap=bool(CHEAP.search(rest)),
        categories=categories,
        dishes=tuple(word for word in _dishes_in(rest, vocabulary) if word not in allergens),
        shop=shop,
        open_at=(int(hour["hour"]), hour["part"] or "") if hour else None,
        good=bool(GOOD.search(rest)),
        allergens=tuple(dict.fromkeys(name for names in allergens.values() for name in names)),
        choice=bool(CHOICE.search(rest)),
        now_only="지금" in rest,
    )
    return replace(wish, kind=_kind_of(wish, rest))


def _kind_of(wish: Wish, text: str) -> Kind:
    """The first rule that fits; what names its subject most clearly comes first."""
    wanted = WANTED.search(text)
    rules: tuple[tuple[Kind, bool], ...] = (
        ("allergy", bool(ALLERGY.search(text)) or bool(wish.allergens)),
        ("coupon", bool(COUPON.search(text))),
        ("delivery", bool(DELIVERY.search(text))),
        ("trait", wish.good),
        ("budget", wish.max_price is not None or wish.cheap),
        ("time", bool(OPEN.search(text)) or wish.open_at is not None),
        ("smalltalk", smalltalk_topic(text) in ("full", "thanks") and not wish.dishes),
        ("best", bool(BEST.search(text)) and not wish.dishes),
        ("menu", bool(wish.dishes)),
        ("category", bool(wish.categories)),
        ("time", bool(DAYPART.search(text))),
        ("menu", wanted is not None and not _is_vague(wanted[1])),
        ("best", bool(SUGGEST.search(text)) or wanted is not None or wish.shop is not None),
        ("smalltalk", smalltalk_topic(text) is not None),
    )
    return next((kind for kind, fits in rules if fits), "unknown")


def _is_vague(word: str) -> bool:
    """True for "뭐", "매운거", "점심": something to eat, but no dish."""
    return word in ASKING_WORDS or word.endswith(("뭐", "거", "것", "걸", "게", "거나", "뭔가"))


def _is_bare(wish: Wish) -> bool:
    """True when the question names no subject of its own, so that it must be about what was said before."""
    return not (wish.dishes or wish.categories or wish.max_price or wish.good or wish.now_only)


def _follow_up(wish: Wish, shop: str, history: Sequence[Message], vocabulary: Vocabulary) -> Wish:
    """The wish with what the earlier turns lend it: the shop, or the earlier constraints."""
    answer = next(m.content for m in reversed(history) if m.role == "assistant" and shop in m.content)
    menus = tuple(menu for menu in vocabulary.menus if menu in squeeze(answer))
    before = _earlier_wish(history, vocabulary)
    if wish.ask in ("hours", "price", "menus"):
        most = wish.max_price or (before.max_price if wish.ask == "menus" else None)
        return replace(wish, kind="followup", shop=shop, said_menus=menus, max_price=most)
    answers = "\n".join(m.content for m in history if m.role == "assistant")
    told = tuple(name for _, name in vocabulary.shops if name in answers)
    cheaper = wish.ask == "cheaper"
    prices = prices_in(normalise(answer))
    return replace(
        before,
        kind="followup",
        text=wish.text,
        ask=wish.ask,
        shop=None,
        max_price=wish.max_price or (min(prices) - 1 if cheaper and prices else before.max_price),
        not_shops=() if cheaper else told,
    )


def _earlier_wish(history: Sequence[Message], vocabulary: Vocabulary) -> Wish:
    """The last thing the user asked for on its own, before the follow-ups."""
    wishes = (_read(normalise(m.content), vocabulary) for m in reversed(history) if m.role == "user")
    return next((w for w in wishes if w.kind not in ("unknown", "smalltalk") and not _bare_ask(w)), Wish("unknown", ""))


def _bare_ask(wish: Wish) -> bool:
    return wish.ask in ("cheaper", "another") and _is_bare(wish)


def _shop_said(history: Sequence[Message], vocabulary: Vocabulary) -> str | None:
    """The first shop named in the latest answer that names one."""
    for message in reversed(history):
        if message.role != "assistant":
            continue
        said = message.content
        places = [(said.find(name), -len(name), name) for _, name in vocabulary.shops if name in said]
        if places:
            return min(places)[2]
    return None


def _take_shop(text: str, vocabulary: Vocabulary) -> tuple[str | None, str]:
    """A shop named in the question, and the question without it, so that "해맑은분식" is not read as 분식."""
    flat = squeeze(text)
    for squeezed, name in vocabulary.shops:
        if len(squeezed) > 2 and squeezed in flat:
            pattern = r"\s*".join(map(re.escape, squeezed))
            return name, re.sub(pattern, " ", text, count=1)
    return None, text


def _categories_in(text: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """What must stand in a shop's category; a food that is also a category ("치킨") only as a place: "치킨집"."""
    flat = text.replace(" ", "")
    for word, stems in CATEGORY_WORDS.items():
        if word.replace(" ", "") in flat:
            return stems
    for name in vocabulary.categories:
        if name in flat and (f"{name}집" in flat or f"{name}가게" in flat or not _in_menus(name, vocabulary)):
            return (name,)
    return ()


def _dishes_in(text: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Words of the question that stand in some menu's name, and menus' names that stand in the question."""
    flat = squeeze(text)
    whole = [menu for menu in vocabulary.menus if len(menu) > 2 and menu in flat]
    if whole:
        return (max(whole, key=len),)
    words = (_dish(token, vocabulary) for token in re.findall(r"[0-9a-z가-힣]+", text))
    return tuple(dict.fromkeys(word for word in words if word))


def _dish(token: str, vocabulary: Vocabulary) -> str | None:
    bare = PARTICLES.sub("", token)
    for word in (token, bare, PARTICLES.sub("", bare)):  # two of them in "떡볶이에도"
        if word in ASKING_WORDS or word in PLACE_WORDS:
            return None
        if (len(word) > 1 or word in ONE_SYLLABLE_FOODS) and not word.isdigit() and _in_menus(word, vocabulary):
            return word
    return None


def _in_menus(word: str, vocabulary: Vocabulary) -> bool:
    return any(word in menu for menu in vocabulary.menus)


def _allergens_in(text: str) -> dict[str, tuple[str, ...]]:
    """Allergens named as words of their own ("우유 알레르기", "땅콩이 들어 있어?"), with what workbooks call them."""
    ends = r"(?:류)?(?=\s|이|가|은|는|을|를|도|,|나|랑|하고|알레르기|들|못|$)"
    return {name: listed for name, listed in ALLERGENS.items() if re.search(rf"(?<![가-힣]){name}{ends}", text)}


def _spoken_amount(match: re.Match[str]) -> int | None:
    """Won of "만 오천원"; None for a bare unit such as the 천 of "추천"."""
    text = match[0].strip()
    if not any(unit in text for unit in "만천백") or not (match["won"] or any(c.isdigit() for c in text)):
        return None
    units = (("만", match["man"], 10_000), ("천", match["cheon"], 1_000), ("백", match["baek"], 100))
    return sum((_count(count) * worth) for unit, count, worth in units if unit in text)


def _count(word: str | None) -> int:
    if word is None:
        return 1
    return int(word) if word.isdigit() else SINO[word]
