"""The feature report: three tiers, honest figures, a sentence to act on, nothing private."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nabi.catalogue.report import FeatureReport, feature_report, render, write_feature_report
from nabi.catalogue.workbook import WorkbookReading, read_workbook

Write = Callable[[dict[str, list[list[Any]]]], Path]

TIERS = {
    1: ("shopName", "category", "menu.name", "price", "isGoodInfluenceShop"),
    2: ("shop.message", "is_best", "openHour", "menu.description"),
    3: ("discount_value", "is_sold_out", "review", "userfavorite"),
}


@pytest.fixture(scope="module")
def report(sample_reading: WorkbookReading) -> FeatureReport:
    return feature_report(sample_reading)


@pytest.fixture
def thin(write_workbook: Write) -> FeatureReport:
    """Three shops, most of the rest missing."""
    path = write_workbook(
        {
            "shop": [
                ["id", "shopName", "category", "isGoodInfluenceShop"],
                [1, "봄", "한식", 1],
                [2, "여름", "분식", 1],
                [3, "가을", None, 1],
            ],
            "shop_menu": [
                ["id", "shop_id", "name", "price"],
                [1, 1, "a밥", 7000],
                [2, 2, "b면", "시가"],
                [3, 3, "c죽", None],
            ],
        }
    )
    return feature_report(read_workbook(path))


def test_the_tiers_are_those_of_the_requirement(report: FeatureReport) -> None:
    assert {tier: tuple(feature.name for feature in report.tier(tier)) for tier in TIERS} == TIERS


def test_the_shipped_workbook_is_ready_for_dialogues(report: FeatureReport) -> None:
    assert all(feature.ready for feature in report.tier(1))
    assert report.recommendation.startswith("Dialogues can be made")


def test_figures_follow_from_the_workbook(thin: FeatureReport) -> None:
    features = {feature.name: feature for feature in thin.features}
    price = features["price"]
    assert (price.num_with, price.num_all, price.distinct) == (1, 3, 1)
    assert price.coverage == pytest.approx(1 / 3)
    assert price.validity == pytest.approx(1 / 2), "of two filled cells one says 시가"
    assert price.examples == ("7,000원",)
    assert features["category"].num_with == 2


def test_advice_names_sheet_column_and_rows(thin: FeatureReport) -> None:
    advice = {feature.name: feature.advice for feature in thin.features}
    assert advice["price"].startswith("Fill price in sheet shop_menu, first row 3")
    assert "all rows say the same" in advice["isGoodInfluenceShop"]
    assert advice["openHour"].startswith("Fill open_hour in sheet shop")
    assert advice["review"].startswith("Add the sheet review")
    assert thin.recommendation.startswith("Mend price before making dialogues (33% covered)")


def test_metrics_are_finite_numbers_under_names_that_a_tracker_takes(
    report: FeatureReport, thin: FeatureReport
) -> None:
    for figures in (report.metrics(), thin.metrics()):
        assert all(isinstance(value, float) and math.isfinite(value) for value in figures.values())
        assert all(re.fullmatch(r"[\w./ -]+", name) for name in figures)
        assert all(0 <= value <= 1 for name, value in figures.items() if name.startswith(("coverage/", "validity/")))
    assert report.metrics().keys() == thin.metrics().keys()


def test_metrics_count_every_row(report: FeatureReport) -> None:
    figures = report.metrics()
    assert figures["catalogue/rows_read"] == figures["catalogue/rows_used"] + figures["catalogue/rows_refused"]
    assert figures["catalogue/shops"] == len(report.catalogue.shops)


def test_the_report_names_every_feature_sheet_and_reason(report: FeatureReport, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.md"
    write_feature_report(report, path)
    text = path.read_text(encoding="utf-8")
    assert all(f"| {feature.name} |" in text for feature in report.features)
    assert all(f"| {sheet.name}" in text for sheet in report.sheets)
    assert all(f"{item.rule}: " in text for item in report.findings)


def test_the_report_is_well_formed_markdown(report: FeatureReport) -> None:
    """Every table row has as many cells as its heading, whatever stands in the cells."""
    for block in re.findall(r"(?:^\|.*\n?)+", render(report), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.strip().splitlines()}
        assert len(widths) == 1


def test_the_report_repeats_nothing_private(report: FeatureReport) -> None:
    text = render(report)
    assert not re.search(r"01\d[- ]?\d{3,4}[- ]?\d{4}|[\w.]+@[\w.]+|학년", text)


def test_the_same_workbook_gives_the_same_report(sample_reading: WorkbookReading, report: FeatureReport) -> None:
    assert render(feature_report(sample_reading)) == render(report)
