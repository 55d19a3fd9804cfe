"""How the same thing is written by different hands: prices, flags, times of day, days off, allergens."""

from __future__ import annotations

import random
from datetime import time, timedelta
from typing import Any


def won(rng: random.Random, price: int) -> Any:
    """A price as somebody might have typed it."""
    forms: list[Any] = [price] * 16 + [f"{price:,}원", f"{price:,}", str(price), f"{price}원"]
    if price >= 1000 and price % 1000 == 0:
        forms += (
            [f"{price // 1000}천원", f"{price // 1000}천 원"]
            if price < 10000
            else [f"{price // 10000}만{price % 10000 // 1000 or ''}{'천' if price % 10000 else ''}원"]
        )
    elif 1000 < price < 10000 and price % 100 == 0:
        forms.append(f"{price // 1000}천{price % 1000 // 100}백원")
    return rng.choice(forms)


def flag(rng: random.Random, value: bool) -> Any:
    """A yes or no as 0/1/TRUE/Y/blank."""
    return rng.choice([1, 1, True, "Y", "TRUE", "y"] if value else [0, 0, False, "N", None, "FALSE", ""])


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def spoken(minutes: int) -> str:
    """A time of day in words, e.g. 오후 9시 30분."""
    minutes %= 1440
    half = "오전" if minutes < 720 else "오후"
    if minutes < 360:
        half = "새벽" if minutes else "밤"
    hour = (minutes // 60 - 1) % 12 + 1
    return f"{half} {hour}시" + (f" {minutes % 60}분" if minutes % 60 else "")


def hours_cells(rng: random.Random, opens: int, closes: int) -> tuple[Any, Any, str]:
    """Cells for openHour and closeHour and the name of the way they are written."""
    if closes - opens == 1440:
        return rng.choice(["24시간", "00:00~24:00", "24시간 영업"]), None, "hours_round_the_clock"
    if closes > 1440:
        late = closes - 1440
        forms: list[tuple[Any, Any, str]] = [
            (f"{clock(opens)}~{clock(late)}", None, "hours_past_midnight"),
            (f"{clock(opens)}~익일 {clock(late)}", None, "hours_past_midnight"),
            (f"{spoken(opens)} ~ {spoken(late)}", None, "hours_past_midnight"),
            (f"{clock(opens)}~{clock(closes)}", None, "hours_past_midnight"),
            (time(opens // 60, opens % 60), time(late // 60, late % 60), "hours_excel_time_past_midnight"),
        ]
        return rng.choice(forms)
    if closes == 1440:
        return rng.choice(
            [
                (f"{clock(opens)}~24:00", None, "hours_24_00"),
                (time(opens // 60, opens % 60), timedelta(days=1), "hours_excel_24_00"),
                (f"{spoken(opens)} - 자정", None, "hours_24_00"),
            ]
        )
    return rng.choice(
        [
            (f"{clock(opens)}~{clock(closes)}", None, "hours_text"),
            (f"{clock(opens)} - {clock(closes)}", None, "hours_text"),
            (f"{spoken(opens)} - {spoken(closes)}", None, "hours_spoken"),
            (f"{spoken(opens)}부터 {spoken(closes)}까지", None, "hours_spoken"),
            (time(opens // 60, opens % 60), time(closes // 60, closes % 60), "hours_excel_time"),
            (clock(opens), clock(closes), "hours_two_columns"),
        ]
    )


def typical_hours(rng: random.Random, category: str) -> tuple[int, int, tuple[int, int] | None]:
    """Opening and closing minute of the day (past 1440: after midnight) and a break, by kind of shop."""
    if category == "편의점":
        return (0, 1440, None) if rng.random() < 0.6 else (360, 1440, None)
    if category == "치킨":
        return rng.choice([(900, 1500, None), (930, 1440, None), (960, 1560, None), (840, 1380, None)])
    if category in ("카페·베이커리", "패스트푸드"):
        return rng.choice([480, 510, 540]), rng.choice([1260, 1290, 1320]), None
    if category in ("한식", "일식", "중식"):
        pause = rng.choice([(900, 1020), (900, 990), None])
        return rng.choice([600, 630, 660]), rng.choice([1230, 1260, 1290]), pause
    return rng.choice([540, 600, 660]), rng.choice([1200, 1230, 1260, 1320]), None


WEEKDAYS = "월화수목금토일"


def closed_cell(rng: random.Random, days: tuple[int, ...]) -> Any:
    """How the days off are written; 0 is Monday."""
    if not days:
        return rng.choice(["연중무휴", None, "없음", "-"])
    names = [WEEKDAYS[day] for day in days]
    if len(names) == 1:
        return rng.choice([f"매주 {names[0]}요일", f"{names[0]}요일 휴무", f"{names[0]}요일", names[0]])
    return rng.choice([",".join(names), "·".join(f"{name}요일" for name in names), f"{'/'.join(names)} 휴무"])


ALLERGEN_NUMBERS = (
    "난류", "우유", "메밀", "땅콩", "대두", "밀", "고등어", "게", "새우", "돼지고기",
    "복숭아", "토마토", "아황산류", "호두", "닭고기", "쇠고기", "오징어", "조개류", "잣",
)  # fmt: skip
SYNONYMS = {"난류": "계란", "대두": "콩", "쇠고기": "소고기"}


def allergen_cells(rng: random.Random, allergens: tuple[str, ...] | None, description: str) -> tuple[Any, str]:
    """Cells for allergens and description: in a column of their own, as school-meal numbers, or in the text."""
    if allergens is None:
        return rng.choice([None, None, "문의"]), description
    if not allergens:
        return rng.choice(["없음", "해당없음"]), description
    style = rng.random()
    numbers = [ALLERGEN_NUMBERS.index(name) + 1 for name in allergens]
    if style < 0.55:
        return rng.choice([", ", "·", ","]).join(allergens), description
    if style < 0.7:
        return "·".join(SYNONYMS.get(name, name) for name in allergens), description
    if style < 0.87:
        dotted = ".".join(str(number) for number in numbers) + "."
        return dotted if style < 0.8 else "".join(chr(0x2460 + number - 1) for number in numbers), description
    return None, f"{description} (알레르기: {', '.join(allergens)})"
