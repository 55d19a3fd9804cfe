"""Prices, clock times and other figures in a text, made comparable: "4,500원", "4500 원" and "4천5백원" are one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_DIGITS = {word: value for value, word in enumerate("일이삼사오육칠팔구", start=1)}
_HOUR_WORDS = ("한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열", "열한", "열두")
_HOURS = {word: value for value, word in enumerate(_HOUR_WORDS, start=1)}
_MIDDAY = frozenset({"점심", "낮"})
_AFTERNOON = frozenset({"오후", "저녁", "밤"})
_MORNING = frozenset({"오전", "아침", "새벽"})
_DAY_MINUTES = 24 * 60

_CLOCK = re.compile(r"(?<![\d:])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?!\d)")
_SPOKEN_TIME = re.compile(
    r"(?:(?P<part>오전|오후|새벽|아침|점심|낮|저녁|밤)\s*)?"
    r"(?:(?<!\d)(?P<hour>\d{1,2})|(?:(?<![가-힣])|(?<=오전|오후|새벽|아침|점심|저녁)|(?<=낮|밤))"
    r"(?P<word>열두|열한|열|한|두|세|네|다섯|여섯|일곱|여덟|아홉))"
    r"\s?시(?!간|작|키|켜|켰|킨|식|장)(?:\s*(?P<minute>\d{1,2})\s*분|\s*(?P<half>반))?"
)
_COEFFICIENT = r"(?:\d+(?:,\d{3})*(?:\.\d+)?|[일이삼사오육칠팔구])"
_KOREAN_NUMBER = re.compile(
    rf"(?<![가-힣\d.,])(?=\S)(?:(?P<m>{_COEFFICIENT})?\s?(?P<man>만))?(?:\s?(?P<c>{_COEFFICIENT})?\s?(?P<cheon>천))?"
    rf"(?:\s?(?P<b>{_COEFFICIENT})?\s?(?P<baek>백))?(?:\s?(?P<rest>\d,\d{{3}}|\d{{1,4}}))?(?P<won>\s?원)?(?![가-힣]*[만천백])"
)
_PLAIN_NUMBER = re.compile(r"(?<![\d.])(?P<number>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<part>\.\d+)?(?P<won>\s?원)?")


@dataclass(frozen=True)
class Quantity:
    """A figure at a place in a text.

    Attributes:
        kind: `time` for a clock time, `number` for all else (won, percent, points…).
        values: what it may mean; more than one only for a clock time without a half of the day ("3시"), in minutes.
        start, end: where it stands.
        is_claim: False for the small bare counts of everyday talk ("2개"), which nobody looks up.
    """

    kind: Literal["number", "time"]
    values: frozenset[float]
    start: int
    end: int
    is_claim: bool = True

    def is_among(self, others: Iterable[Quantity]) -> bool:
        """True when one of the others may mean the same."""
        return any(self.kind == other.kind and self.values & other.values for other in others)


def find_quantities(text: str) -> list[Quantity]:
    """All figures of a text in the order they stand. Overlaps are settled: clock times first, then Korean units."""
    found: list[Quantity] = []
    rest = text
    readers = ((_CLOCK, _clock), (_SPOKEN_TIME, _spoken), (_KOREAN_NUMBER, _korean), (_PLAIN_NUMBER, _plain))
    for pattern, read in readers:
        for match in list(pattern.finditer(rest)):
            quantity = read(match)
            if quantity is not None:
                found.append(quantity)
                rest = rest[: match.start()] + "\0" * (match.end() - match.start()) + rest[match.end() :]
    return sorted(found, key=lambda quantity: quantity.start)


def _clock(match: re.Match[str]) -> Quantity:
    minutes = (int(match["hour"]) * 60 + int(match["minute"])) % _DAY_MINUTES
    return Quantity("time", frozenset({float(minutes)}), match.start(), match.end())


def _spoken(match: re.Match[str]) -> Quantity | None:
    hour = _HOURS[match["word"]] if match["word"] else int(match["hour"])
    if hour > 24:
        return None
    minute = 30 if match["half"] else int(match["minute"] or 0)
    hours = _possible_hours(hour, match["part"])
    return Quantity("time", frozenset(float(h % 24 * 60 + minute) for h in hours), match.start(), match.end())


def _possible_hours(hour: int, part: str | None) -> set[int]:
    """Hours of the day that a spoken hour may mean; `part` is the half of the day, when said."""
    if hour > 12:
        return {hour}
    if part in _MORNING or (part == "밤" and hour == 12):
        return {hour % 12}
    if part in _MIDDAY:
        return {hour if hour >= 10 else hour + 12}
    if part in _AFTERNOON:
        return {hour % 12 + 12}
    return {hour % 24, (hour + 12) % 24}


def _korean(match: re.Match[str]) -> Quantity | None:
    """A number with 만, 천 or 백. Without a digit it needs 원 behind it: 백 and 천 also begin ordinary words."""
    units = [("m", "man", 10_000), ("c", "cheon", 1_000), ("b", "baek", 100)]
    if not any(match[unit] for _, unit, _ in units):
        return None
    if not match["won"] and not any(char.isdigit() for char in match.group()):
        return None
    total = sum(_coefficient(match[share]) * size for share, unit, size in units if match[unit])
    total += _coefficient(match["rest"] or "0")
    return Quantity("number", frozenset({total}), match.start(), match.end())


def _coefficient(text: str | None) -> float:
    if not text:
        return 1.0
    return float(_DIGITS[text]) if text in _DIGITS else float(text.replace(",", ""))


def _plain(match: re.Match[str]) -> Quantity:
    value = float(match["number"].replace(",", "") + (match["part"] or ""))
    is_claim = bool(match["won"] or match["part"] or value >= 10)
    return Quantity("number", frozenset({value}), match.start(), match.end(), is_claim)
