"""Reads opening hours, breaks and days off from texts and from Excel's times.

What is understood: "10:00~21:00", "오전 10시 - 오후 9시", "10시 30분부터 21시까지", "24시간", "00:00~24:00",
"17:00~익일 02:00", "17:00~26:00", Excel times in one or two columns, breaks in a column or inside the text, last
orders (left out), and several hours by day (only the time that holds on every day is kept). What is not
understood gives no hours: a child must not be sent to a closed door.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

from nabi.catalogue.cells import Reading, compact, is_blank, problem
from nabi.catalogue.findings import Problem
from nabi.catalogue.model import Hours
from nabi.catalogue.raw import Cell, Unset
from nabi.catalogue.texts import plain

DAY = 24 * 60
LONGEST = 21 * 60
"""Minutes; hours that are longer but not round the clock are a slip of the pen more often than the truth."""

Span = tuple[int, int]
"""Opening and closing minute of the day; closing is above `DAY` when it is after midnight."""

_HALF = r"오전|오후|새벽|아침|낮|점심|저녁|밤|am|pm"
_CLOCK = (
    rf"(?P<next>익일|다음날|다음 날|명일)?\s*(?P<half>{_HALF})?\s*"
    r"(?:(?P<noon>정오|자정)|(?P<hour>\d{1,2})\s*"
    r"(?:[:;.시]\s*(?:(?P<minute>\d{1,2})\s*분?|(?P<half_past>반))?|(?=\s*(?:am|pm)\b)|(?=\s*$)))"
    r"\s*(?P<after>am|pm)?"
)
_CLOCK_RE = re.compile(_CLOCK, re.IGNORECASE)
_PART = re.sub(r"\?P<\w+>", "?:", _CLOCK).replace(r"|(?=\s*$)", "")
_RANGE = re.compile(rf"(?P<from>{_PART})\s*(?:부터|에서|[~∼〜–—-])\s*(?P<to>{_PART})(?:\s*까지)?", re.IGNORECASE)
_ALL_DAY = re.compile(r"24\s*시간|24\s*시\s*영업|24h", re.IGNORECASE)
_LAST_ORDER = re.compile(
    r"(?:라스트\s*오더|마지막\s*주문|주문\s*마감|L\.?O\.?)\s*:?\s*\d{1,2}[:시]\s*(?:\d{2})?\s*분?", re.IGNORECASE
)
_BREAK_WORD = re.compile(r"브레이크\s*타임?|휴게\s*시간?|쉬는\s*시간|준비\s*시간|break", re.IGNORECASE)


def parse_hours(
    open_cell: Cell, close_cell: Cell = None, break_cell: Cell = None, break_start: Cell = None, break_end: Cell = None
) -> Reading[Hours]:
    """Hours from the cells that may speak of them; the parts of problems count in this order."""
    if is_blank(open_cell) and is_blank(close_cell):
        return Reading()
    span, pause, problems = _opening(open_cell, close_cell)
    if span is None:
        return Reading(None, problems)
    stated, part = _stated_break(break_cell, break_start, break_end, pause)
    kept = None if stated is None else _fit_break(stated, span)
    if stated is not None and kept is None:
        problems = (*problems, Problem("break_outside_hours", part))
    starts, ends = (None, None) if kept is None else (_as_time(kept[0]), _as_time(kept[1]))
    return Reading(Hours(_as_time(span[0]), _as_time(span[1]), starts, ends), problems)


def _opening(open_cell: Cell, close_cell: Cell) -> tuple[Span | None, Span | None, tuple[Problem, ...]]:
    """The opening span, a break named inside the text, and the problems."""
    if open_cell is Unset.FORMULA or close_cell is Unset.FORMULA:
        return None, None, problem("formula_without_value", 0 if open_cell is Unset.FORMULA else 1)
    if is_blank(close_cell):
        return _from_one_cell(open_cell)
    opens, closes = minute_of(open_cell), minute_of(close_cell)
    if opens is None or closes is None:
        return None, None, problem("unreadable_hours", 0 if opens is None else 1)
    span = _sensible(opens, closes)
    return span, None, () if span else problem("implausible_hours")


def _from_one_cell(cell: Cell) -> tuple[Span | None, Span | None, tuple[Problem, ...]]:
    if not isinstance(cell, str):
        return None, None, problem("no_closing_time" if minute_of(cell) is not None else "unreadable_hours")
    text = _LAST_ORDER.sub(" ", plain(cell))
    pauses, opening_text = _split_breaks(text)
    spans = _spans(opening_text)
    if not spans and _ALL_DAY.search(opening_text):
        return (0, DAY), None, ()
    if not spans:
        alone = minute_of(opening_text.strip())
        return None, None, problem("unreadable_hours" if alone is None else "no_closing_time")
    checked = [_sensible(*span) for span in spans]
    if None in checked:
        return None, None, problem("implausible_hours")
    common = _common([span for span in checked if span])
    if common is None:
        return None, None, problem("unreadable_hours")
    return common, pauses[0] if pauses else None, problem("several_hours") if len(set(checked)) > 1 else ()


def _split_breaks(text: str) -> tuple[list[Span], str]:
    """Breaks named inside a text, and the text without them."""
    pauses: list[Span] = []
    for word in _BREAK_WORD.finditer(text):
        if found := _RANGE.search(text, word.end()):
            pauses += _spans(found[0])
    for found in reversed([_RANGE.search(text, word.end()) for word in _BREAK_WORD.finditer(text)]):
        if found:
            text = text[: found.start()] + " " + text[found.end() :]
    return pauses, _BREAK_WORD.sub(" ", text)


def _spans(text: str) -> list[Span]:
    found = []
    for match in _RANGE.finditer(text):
        opens, closes = minute_of(match["from"]), minute_of(match["to"])
        if opens is not None and closes is not None:
            found.append((opens, closes))
    return found


def minute_of(cell: Cell) -> int | None:
    """Minute of the day of an Excel time or of a text such as "오후 9시 30분"; up to 30:00 for after midnight."""
    if isinstance(cell, str):
        match = _CLOCK_RE.fullmatch(plain(cell).strip())
        return None if match is None else _minute_from(match)
    if isinstance(cell, timedelta):
        return _bounded(round(cell.total_seconds() / 60))
    if isinstance(cell, float) and 0 < cell < 1.25:
        return round(cell * DAY)  # a time whose cell lost its format: Excel counts in days
    return _minute_of_moment(cell)


def _minute_of_moment(cell: Cell) -> int | None:
    """Minute of a time or a date. Excel shows 26:00 in a cell for times as two o'clock of its day 1, 1 January 1900."""
    if isinstance(cell, datetime):
        return _bounded(cell.hour * 60 + cell.minute + (DAY if cell.year <= 1900 else 0))
    if isinstance(cell, date):
        return DAY if cell == date(1900, 1, 1) else None
    return cell.hour * 60 + cell.minute if isinstance(cell, time) else None


def _minute_from(match: re.Match[str]) -> int | None:
    if match["noon"]:
        return 12 * 60 if match["noon"] == "정오" else DAY
    hour, minute = int(match["hour"]), 30 if match["half_past"] else int(match["minute"] or 0)
    half = (match["half"] or match["after"] or "").lower()
    if minute > 59 or (half and hour > 12 and half in ("오전", "am", "새벽", "아침")):
        return None
    if half in ("오후", "pm", "저녁", "낮", "점심") and hour < 12 and not (half in ("낮", "점심") and hour >= 10):
        hour += 12
    elif half == "밤" and hour <= 12:
        hour = hour + 12 if hour >= 6 else hour + 24
    elif half in ("오전", "am", "새벽") and hour == 12:
        hour = 0
    return _bounded(hour * 60 + minute + (DAY if match["next"] and hour < 12 else 0))


def _bounded(minute: int) -> int | None:
    return minute if 0 <= minute <= 30 * 60 else None


def _sensible(opens: int, closes: int) -> Span | None:
    """The span with closing after opening, or None when it can hardly be meant."""
    if opens >= DAY:
        return None
    if (opens, closes) == (0, DAY):
        return 0, DAY
    if closes <= opens:
        closes += DAY
    return (opens, closes) if closes - opens <= LONGEST else None


def _common(spans: list[Span]) -> Span | None:
    opens, closes = max(span[0] for span in spans), min(span[1] for span in spans)
    return (opens, closes) if opens < closes else None


def _stated_break(cell: Cell, start: Cell, end: Cell, inside: Span | None) -> tuple[Span | None, int]:
    """The break that the cells name, and which of them does."""
    if isinstance(cell, str) and (spans := _spans(plain(cell))):
        return spans[0], 2
    starts, ends = minute_of(start), minute_of(end)
    if starts is not None and ends is not None:
        return (starts, ends), 3
    return inside, 0


def _fit_break(pause: Span, span: Span) -> Span | None:
    """The break if it lies within the hours and on one day, else None."""
    starts, ends = pause
    if starts >= ends or ends > DAY:
        return None
    return pause if span[0] <= starts and ends <= span[1] else None


def _as_time(minute: int) -> time:
    return time(minute % DAY // 60, minute % 60)


_WEEKDAYS = "월화수목금토일"
_NONE = frozenset({"연중무휴", "없음", "-", "무휴", "x", "24시간연중무휴"})

_NOT_A_DAY = re.compile(
    r"매월|매주|격주|휴무일?|휴일|쉼|쉬어요|정기|공휴일|명절|설날|추석|주말|평일"
    r"|(?:첫|둘|두|셋|세|넷|네|다섯|마지막|\d)번?째?주?"
)


def parse_closed_days(cell: Cell) -> Reading[frozenset[int]]:
    """Weekdays off, 0 Monday to 6 Sunday. A day off in some weeks counts as one in every week."""
    if is_blank(cell):
        return Reading()
    text = compact(cell).casefold()
    if text in _NONE or "연중무휴" in text:
        return Reading(frozenset())
    named = re.findall(rf"(?<![가-힣])[{_WEEKDAYS}]+(?=요일|[^가-힣]|$)", _NOT_A_DAY.sub(" ", text))
    days = frozenset(_WEEKDAYS.index(letter) for group in named for letter in group)
    if "주말" in text:
        days |= {5, 6}
    if re.search(r"째|격주|매월", text):
        return Reading(days, problem("some_weeks_only" if days else "unreadable_closed_days"))
    if days:
        return Reading(days)
    if re.search(r"공휴일|명절|설날|추석", text):
        return Reading(frozenset(), problem("holidays_not_kept"))
    return Reading(None, problem("unreadable_closed_days"))
