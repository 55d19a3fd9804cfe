"""Figures in Korean text, read and compared."""

from __future__ import annotations

import pytest

from nabi.evaluation.quantities import find_quantities


def values(text: str) -> list[tuple[str, list[float]]]:
    return [(quantity.kind, sorted(quantity.values)) for quantity in find_quantities(text)]


@pytest.mark.parametrize(
    "text", ["4500원", "4,500원", "4,500 원", "₩4,500", "4천5백원", "4천 5백 원", "사천오백원", "4500"]
)
def test_one_price_is_read_alike_however_it_is_written(text):
    assert values(text) == [("number", [4500])]


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("5천원", 5000),
        ("5천 원이 있어", 5000),
        ("5천으로 돼?", 5000),
        ("오천 원", 5000),
        ("천원", 1000),
        ("만 원", 10000),
        ("만오천원", 15000),
        ("1만5천원", 15000),
        ("1만 5,000원", 15000),
        ("1.5만원", 15000),
    ],
)
def test_korean_units_are_counted_out(text, price):
    assert values(text) == [("number", [price])]


@pytest.mark.parametrize("text", ["천천히 드세요", "백반", "만두", "다시 시작해요", "접시", "만나요"])
def test_words_that_begin_like_figures_are_none(text):
    assert values(text) == []


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("오후 3시", [900]),
        ("15:00", [900]),
        ("3시", [180, 900]),
        ("세 시 반", [210, 930]),
        ("낮 12시", [720]),
        ("점심 열한 시", [660]),
        ("밤 9시 30분", [1290]),
        ("오전 12시", [0]),
        ("24:00", [0]),
        ("21시", [1260]),
    ],
)
def test_a_clock_time_is_minutes_of_the_day_and_both_halves_when_unsaid(text, minutes):
    assert values(text) == [("time", minutes)]


def test_a_span_of_hours_is_two_times_and_no_numbers():
    assert values("11:00~21:00") == [("time", [660]), ("time", [1260])]


def test_hours_that_last_are_no_clock_time():
    assert [kind for kind, _ in values("2시간 걸려요")] == ["number"]


def test_small_bare_counts_are_no_claims_but_prices_and_shares_are():
    claims = [quantity.is_claim for quantity in find_quantities("2개를 9원에 4.5점, 10% 할인")]
    assert claims == [False, True, True, True]
