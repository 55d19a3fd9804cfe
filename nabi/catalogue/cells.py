"""Reads single cells: a price, a flag, an id, a rating, a date, as many hands have written them.

A parser takes the cell, or the cells that belong together, and gives a `Reading`: the value, or None when there
is none, and the problems met on the way. Blank cells are no problem; only what is written can be wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Generic, TypeVar

from nabi.catalogue.findings import Problem
from nabi.catalogue.raw import Cell, Unset
from nabi.catalogue.texts import plain

T = TypeVar("T")

BLANKS = frozenset({"", "null", "\\n", "none", "nan", "n/a", "#n/a", "nil", "undefined"})
YES = frozenset({"1", "1.0", "true", "t", "y", "yes", "예", "네", "o", "ㅇ", "on", "있음", "가능", "사용", "품절"})
NO = frozenset(
    {"0", "0.0", "false", "f", "n", "no", "아니오", "아니요", "x", "off", "없음", "불가", "미사용", "판매중", "-"}
)
NOT_STATED = frozenset({"시가", "싯가", "변동", "문의", "별도문의", "전화문의", "가격문의", "미정", "-", "?"})
ZERO_DATE = "0000-00-00"
MAX_EXACT_NUMBER = 10**15
"""Excel keeps 15 digits: longer numbers have lost their last ones."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What a cell says. `value` None: nothing, or nothing that could be understood (then `problems` say why)."""

    value: T | None = None
    problems: tuple[Problem, ...] = ()


def problem(rule: str, part: int = 0) -> tuple[Problem, ...]:
    return (Problem(rule, part),)


def is_blank(cell: Cell) -> bool:
    """True for empty cells and for the ways in which exports write NULL."""
    return cell is None or (isinstance(cell, str) and cell.strip().casefold() in BLANKS)


def compact(cell: Cell) -> str:
    """A cell as text without any white space, in plain letters and digits, for comparing and parsing."""
    return re.sub(r"\s+", "", plain(str(cell)))


def parse_id(cell: Cell) -> Reading[str]:
    """An identifier as text: zeros in front of a text stay, the number 12.0 is "12"."""
    if is_blank(cell):
        return Reading()
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return Reading(None, problem("formula_without_value" if cell is Unset.FORMULA else "no_id"))
    if isinstance(cell, str):
        return Reading(compact(cell))
    if not abs(cell) < MAX_EXACT_NUMBER or cell != int(cell):  # neither infinite nor NaN
        return Reading(None, problem("no_id"))
    return Reading(str(int(cell)))


def parse_flag(cell: Cell, *, doubtful: bool = False) -> Reading[bool]:
    """Yes or no from 0/1/TRUE/Y/예/blank. `doubtful` is what an unreadable flag counts as."""
    if is_blank(cell):
        return Reading()
    word = compact(cell).casefold()
    if word in YES:
        return Reading(True)
    if word in NO:
        return Reading(False)
    return Reading(doubtful, problem("unreadable_flag"))


def parse_careful_flag(cell: Cell) -> Reading[bool]:
    """A flag that keeps something from children, such as sold out or hidden: what cannot be read counts as yes."""
    return parse_flag(cell, doubtful=True)


def parse_price(cell: Cell) -> Reading[int]:
    """Won from 8900, "8,900원", "5천원", "1만2천원". "시가", 0 and ranges have no value: nothing is guessed."""
    if is_blank(cell):
        return Reading()
    if cell is Unset.FORMULA:
        return Reading(None, problem("formula_without_value"))
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return Reading(None, problem("unreadable_price"))
    if isinstance(cell, str):
        return _price_from_text(compact(cell))
    return _price_from_number(cell)


def _price_from_number(number: float) -> Reading[int]:
    if number == 0:
        return Reading(None, problem("zero_price"))
    if not 0 < number < MAX_EXACT_NUMBER or number != int(number):
        return Reading(None, problem("unreadable_price"))
    return Reading(int(number))


def _price_from_text(text: str) -> Reading[int]:
    if text in NOT_STATED:
        return Reading(None, problem("not_stated"))
    bare = re.sub(r"^(?:₩|\\|krw)|(?:원|won|krw|₩)(?:정)?$", "", text, flags=re.IGNORECASE)
    if re.search(r"\d.*[~∼〜-].*\d|부터|이상|~$", bare):
        return Reading(None, problem("price_range"))
    amount = _amount(bare.replace(",", ""))
    if amount is None:
        return Reading(None, problem("unreadable_price"))
    if amount == 0:
        return Reading(None, problem("zero_price"))
    return Reading(amount, problem("price_as_text"))


_SPOKEN = re.compile(
    r"(?:(?P<man>\d+(?:\.\d+)?)?만)?(?:(?P<cheon>\d+(?:\.\d+)?)?천)?(?:(?P<baek>\d+)?백)?(?P<rest>\d+)?"
)


def _amount(text: str) -> int | None:
    """The number in "8900", "8900.0", "5천5백" or "1.2만"; None when it is none."""
    if re.fullmatch(r"\d{1,12}(?:\.0+)?", text):
        return int(float(text))
    match = _SPOKEN.fullmatch(text)
    if match is None or not any(unit in text for unit in "만천백"):
        return None
    total = float(match["rest"] or 0)
    for unit, name, worth in (("만", "man", 10_000), ("천", "cheon", 1_000), ("백", "baek", 100)):
        if unit in text:
            total += float(match[name] or 1) * worth
    return round(total)


def parse_fee(cell: Cell) -> Reading[int]:
    """A fee in won; 0 and "무료" mean free of charge."""
    if not is_blank(cell) and compact(cell) in ("0", "0원", "무료", "무료배달", "없음"):
        return Reading(0)
    return parse_price(cell)


def parse_discount(cell: Cell, price_cell: Cell) -> Reading[int]:
    """Won to take off a price; "10%" is worked out from the price. 0 means none."""
    if is_blank(cell) or compact(cell) in ("0", "0원", "0%", "없음", "-"):
        return Reading()
    price = parse_price(price_cell).value
    percent = re.fullmatch(r"(\d{1,3})(?:%|퍼센트|프로)", compact(cell))
    if percent is None:
        reading = parse_price(cell)
    elif price is None:
        return Reading(None, problem("no_value"))
    else:
        reading = Reading(price * int(percent[1]) // 100, problem("percent_discount"))
    if reading.value is not None and price is not None and reading.value >= price:
        return Reading(None, problem("discount_too_big"))
    return reading


@dataclass(frozen=True, slots=True)
class Benefit:
    """What a coupon is worth: won or percent."""

    value: int | None = None
    percent: int | None = None


def parse_benefit(cell: Cell, kind_cell: Cell) -> Reading[Benefit]:
    """A coupon's worth; in percent when it says so or when its kind does."""
    if is_blank(cell):
        return Reading()
    text = compact(cell)
    kind = "" if is_blank(kind_cell) else compact(kind_cell).casefold()
    if text.endswith(("%", "퍼센트")) or kind in ("percent", "percentage", "rate", "%", "정률"):
        number = re.fullmatch(r"(\d{1,3})(?:\.0+)?(?:%|퍼센트)?", text)
        if number is None or not 0 < int(number[1]) <= 100:
            return Reading(None, problem("formula_without_value" if cell is Unset.FORMULA else "unreadable_price"))
        return Reading(Benefit(percent=int(number[1])))
    price = parse_price(cell)
    return Reading(None if price.value is None else Benefit(value=price.value), price.problems)


def parse_rating(cell: Cell) -> Reading[float]:
    """1 to 5, also as "5점" or as stars."""
    if is_blank(cell):
        return Reading()
    text = compact(cell)
    if re.fullmatch(r"★{1,5}☆{0,4}", text):
        return Reading(float(text.count("★")))
    match = re.fullmatch(r"(\d(?:\.\d+)?)(?:점|/5)?", text)
    if match is None or not 1 <= float(match[1]) <= 5:
        return Reading(None, problem("unreadable_rating"))
    return Reading(float(match[1]))


def parse_deleted(deleted_at: Cell, is_deleted: Cell = None) -> Reading[bool]:
    """True when a row is marked as deleted: by a time, or by a flag. MySQL's zero date marks nothing."""
    for cell in (deleted_at, is_deleted):
        if is_blank(cell) or str(cell).startswith(ZERO_DATE):
            continue
        if isinstance(cell, date | datetime | time | timedelta) or parse_flag(cell, doubtful=True).value:
            return Reading(True)
    return Reading(False)


_CLOSED_DOWN = frozenset(
    {"closed", "폐업", "휴업", "종료", "영업종료", "inactive", "withdrawn", "탈퇴", "deleted", "해지"}
)


def parse_closed_down(cell: Cell) -> Reading[bool]:
    """True when a status says that the shop is closed for good."""
    return Reading(not is_blank(cell) and compact(cell).casefold() in _CLOSED_DOWN)


def parse_date(cell: Cell) -> Reading[date]:
    """A day from an Excel date, 2026-12-31, 2026.12.31, 2026/12/31 or 20261231."""
    if is_blank(cell) or str(cell).startswith(ZERO_DATE):
        return Reading()
    if isinstance(cell, datetime):
        return Reading(cell.date())
    if isinstance(cell, date):
        return Reading(cell)
    match = re.match(r"(\d{4})[-./년]?(\d{1,2})[-./월]?(\d{1,2})(?!\d)", compact(cell))
    if match is None:
        return Reading(None, problem("unreadable_date"))
    try:
        return Reading(date(int(match[1]), int(match[2]), int(match[3])))
    except ValueError:  # the 31st of February
        return Reading(None, problem("unreadable_date"))
