"""The thirteen features of a catalogue that dialogues are made from, in three tiers of priority, and how each fares.

Tiers: 1 is what no dialogue can do without, 2 makes answers better, 3 is welcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from nabi.catalogue.columns import NO_CATEGORY
from nabi.catalogue.model import Catalogue, Hours
from nabi.catalogue.workbook import FieldSummary, SheetSummary, WorkbookReading

Tier = Literal[1, 2, 3]
GOOD_COVERAGE = 0.9
GOOD_VALIDITY = 0.95
NUM_EXAMPLES = 3
NUM_ROWS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature with its figures.

    `coverage` is the share of usable shops (or menus) that have it; of flags, the share of the sheet's rows that say
    yes or no. `validity` is the share of filled cells that were understood, 1.0 when none is filled. `distinct` counts
    the different values, `examples` are the most frequent ones, `advice` is one sentence to act on.
    """

    name: str
    tier: Tier
    sheet: str
    coverage: float
    validity: float
    num_with: int
    num_all: int
    distinct: int
    examples: tuple[str, ...]
    advice: str

    @property
    def ready(self) -> bool:
        """True when dialogues can lean on it: there and readable, and a flag that tells something apart."""
        varied = self.distinct > 1 if self.name in _FLAGS else self.coverage >= GOOD_COVERAGE
        return varied and self.validity >= GOOD_VALIDITY


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How a feature is found: values from the catalogue (None for a shop or menu without), and its field in a sheet."""

    name: str
    tier: Tier
    sheet: str
    field: str
    values: Callable[[Catalogue], Iterable[Any]]
    use: str
    lack: str


def _hours(hours: Hours | None) -> str | None:
    if hours is None:
        return None
    return "24시간" if hours.opens == hours.closes else f"{hours.opens:%H:%M}~{hours.closes:%H:%M}"


def _won(amount: int | None) -> str | None:
    return f"{amount:,}원" if amount else None


def _categories(catalogue: Catalogue) -> Iterable[str | None]:
    return (None if shop.category == NO_CATEGORY else shop.category for shop in catalogue.shops)


def _snippets(catalogue: Catalogue) -> Iterable[str | None]:
    return (shop.review_snippets[0] if shop.review_snippets else None for shop in catalogue.shops)


def _yes(flags: Iterable[bool]) -> Iterable[str]:
    return ("예" if flag else "아니오" for flag in flags)


WANTED = (
    _Wanted(
        "shopName", 1, "shop", "name", lambda c: (s.name for s in c.shops),
        "every answer names a shop", "a shop without a name is not used",
    ),
    _Wanted(
        "category", 1, "shop", "category", _categories,
        "questions by kind of food find it", f"it goes under {NO_CATEGORY} and is found by the dish only",
    ),
    _Wanted(
        "menu.name", 1, "shop_menu", "name", lambda c: (m.name for m in c.menus),
        "every answer names a dish", "a menu without a name is not used",
    ),
    _Wanted(
        "price", 1, "shop_menu", "price", lambda c: (_won(m.price) for m in c.menus),
        "budgets and the card's daily limit are kept to the won", "it is never offered where a price is told",
    ),
    _Wanted(
        "isGoodInfluenceShop", 1, "shop", "good", lambda c: _yes(s.is_good_influence for s in c.shops),
        "good-influence shops come first", "it counts as none",
    ),
    _Wanted(
        "shop.message", 2, "shop", "message", lambda c: (s.message for s in c.shops),
        "the owner's words welcome the child", "answers about it stay plain",
    ),
    _Wanted(
        "is_best", 2, "shop_menu", "is_best", lambda c: _yes(m.is_best for m in c.menus),
        "best-sellers come first", "it counts as an ordinary menu",
    ),
    _Wanted(
        "openHour", 2, "shop", "hours", lambda c: (_hours(s.hours) for s in c.shops),
        "only open shops are recommended", "it is never recommended, for it may be closed",
    ),
    _Wanted(
        "menu.description", 2, "shop_menu", "description", lambda c: (m.description for m in c.menus),
        "answers can say what a dish is like", "only its name is told",
    ),
    _Wanted(
        "discount_value", 3, "shop_menu", "discount_value", lambda c: (_won(m.discount_value) for m in c.menus),
        "discounts can be told", "it has no discount, which is the usual case",
    ),
    _Wanted(
        "is_sold_out", 3, "shop_menu", "is_sold_out", lambda c: _yes(m.is_sold_out for m in c.menus),
        "sold-out menus are never offered", "it counts as available",
    ),
    _Wanted(
        "review", 3, "review", "content", _snippets,
        "a few words of guests can be repeated", "nothing is said about how others liked it",
    ),
    _Wanted(
        "userfavorite", 3, "userfavorite", "shop_id", lambda c: (s.num_favorites or None for s in c.shops),
        "how many children like a shop can be told", "it counts as not marked yet",
    ),
)  # fmt: skip
"""Requirement A8, in its order."""

_FLAGS = frozenset({"isGoodInfluenceShop", "is_best", "is_sold_out"})
"""Where blank counts as no: what is covered are the cells of the sheet that say yes or no."""

_NOT_TO_MEND = frozenset({"personal_text", "not_for_children", "long_number", "phone", "email", "web_address"})
"""Values that are left out because they must be, not because they are wrong."""


def features_of(reading: WorkbookReading) -> tuple[Feature, ...]:
    """All features with their figures, in the order of the tiers."""
    return tuple(_feature(wanted, reading) for wanted in WANTED)


def _feature(wanted: _Wanted, reading: WorkbookReading) -> Feature:
    values = list(wanted.values(reading.catalogue))
    filled = [value for value in values if value is not None]
    counts = Counter(str(value) for value in filled)
    field = _field(wanted, reading)
    num_with, num_all = len(filled), len(values)
    if wanted.name in _FLAGS:
        sheet = reading.sheet(wanted.sheet)
        num_with, num_all = (field.filled, sheet.rows_read) if field and sheet else (0, num_all)
    coverage = _share(num_with, num_all)
    return Feature(
        name=wanted.name,
        tier=wanted.tier,
        sheet=wanted.sheet,
        coverage=coverage,
        validity=_share(field.understood, field.filled) if field and field.filled else 1.0,
        num_with=num_with,
        num_all=num_all,
        distinct=len(counts),
        examples=tuple(
            f"{value} ({count})" if count > 1 else value for value, count in counts.most_common(NUM_EXAMPLES)
        ),
        advice=_advice(wanted, reading, field, coverage, len(counts)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _field(wanted: _Wanted, reading: WorkbookReading) -> FieldSummary | None:
    sheet = reading.sheet(wanted.sheet)
    return next((item for item in sheet.fields if item.name == wanted.field), None) if sheet else None


def _advice(
    wanted: _Wanted, reading: WorkbookReading, field: FieldSummary | None, coverage: float, distinct: int
) -> str:
    """One sentence: what it is good for as it stands, or what to mend and where."""
    sheet = reading.sheet(wanted.sheet)
    if sheet is None or field is None:
        return f"Add the sheet {wanted.sheet}: without it, {wanted.lack}."
    if not field.filled:
        return f"Fill {field.column} in sheet {sheet.name}: without it, {wanted.lack}."
    if wanted.name in _FLAGS:
        return _flag_advice(wanted, field, sheet, distinct)
    mend = _rows_to_mend(sheet.name, field.column, reading)
    if coverage >= GOOD_COVERAGE or wanted.tier == 3:
        return f"Use it as it is: {wanted.use}{f'; mend {mend} to gain more' if mend else ''}."
    return f"Fill {field.column} in sheet {sheet.name}{f', first {mend}' if mend else ''}: without it, {wanted.lack}."


def _flag_advice(wanted: _Wanted, field: FieldSummary, sheet: SheetSummary, distinct: int) -> str:
    if distinct < 2:
        return f"Check {field.column} in sheet {sheet.name}: all rows say the same, so it tells nothing apart."
    blank = sheet.rows_read - field.filled
    confirm = f"; confirm the {blank} blank cells, which count as no" if blank else ""
    return f"Use it as it is: {wanted.use}{confirm}."


def _rows_to_mend(sheet: str, column: str, reading: WorkbookReading) -> str:
    """The first rows in which a value of this column was lost."""
    rows = sorted(
        {
            item.row
            for item in reading.findings
            if (item.sheet, item.column) == (sheet, column)
            and (item.action == "kept_without" or item.rule == "no_name")
            and item.rule not in _NOT_TO_MEND
        }
    )
    named = ", ".join(str(row) for row in rows[:NUM_ROWS_NAMED])
    more = f" and {len(rows) - NUM_ROWS_NAMED} more" if len(rows) > NUM_ROWS_NAMED else ""
    return f"row{'s' if len(rows) > 1 else ''} {named}{more}" if rows else ""
