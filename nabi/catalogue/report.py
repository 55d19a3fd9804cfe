"""The feature report: what a workbook offers to dialogues, how good it is, what was refused and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nabi.catalogue.features import Feature, features_of
from nabi.catalogue.findings import RULES, Finding
from nabi.catalogue.model import Catalogue
from nabi.catalogue.workbook import SheetSummary, WorkbookReading

DAILY_LIMIT = 8000
"""Won; the meal card's usual daily limit, against which the report counts what a child can afford."""

TIERS = {
    1: "no dialogue can do without",
    2: "makes answers better",
    3: "welcome",
}


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """What is known of a workbook's features; `metrics()` for a tracker, `write_feature_report` for people."""

    source: str
    digest: str
    features: tuple[Feature, ...]
    sheets: tuple[SheetSummary, ...]
    findings: tuple[Finding, ...]
    catalogue: Catalogue
    daily_limit: int = DAILY_LIMIT

    def metrics(self) -> dict[str, float]:
        """Counts, and as shares from 0 to 1 the coverage and validity of each feature and the mean of each tier."""
        read = [sheet for sheet in self.sheets if sheet.kind in ("read", "unusable")]
        figures: dict[str, float] = {
            "catalogue/shops": len(self.catalogue.shops),
            "catalogue/menus": len(self.catalogue.menus),
            "catalogue/coupons": len(self.catalogue.coupons),
            "catalogue/findings": len(self.findings),
            "catalogue/rows_read": sum(sheet.rows_read for sheet in read),
            "catalogue/rows_used": sum(sheet.rows_used for sheet in read),
            "catalogue/rows_refused": sum(sum(sheet.refused.values()) for sheet in read),
        }
        for feature in self.features:
            figures[f"coverage/{feature.name}"] = feature.coverage
            figures[f"validity/{feature.name}"] = feature.validity
            figures[f"distinct/{feature.name}"] = feature.distinct
        for tier in TIERS:
            figures[f"coverage/tier_{tier}"] = _mean(feature.coverage for feature in self.tier(tier))
        return {name: float(value) for name, value in figures.items()}

    def tier(self, tier: int) -> tuple[Feature, ...]:
        """The features of a tier."""
        return tuple(feature for feature in self.features if feature.tier == tier)

    @property
    def recommendation(self) -> str:
        """One sentence: whether dialogues can be made from this workbook, and what to mend first."""
        weak = [feature for feature in self.tier(1) if not feature.ready]
        if not weak:
            return "Dialogues can be made from this workbook: every feature of tier 1 is there and readable."
        worst = min(weak, key=lambda feature: feature.coverage * feature.validity)
        return f"Mend {worst.name} before making dialogues ({_percent(worst.coverage)} covered): {worst.advice}"


def feature_report(reading: WorkbookReading, *, daily_limit: int = DAILY_LIMIT) -> FeatureReport:
    """The report on a workbook that was read. `daily_limit` in won is what a child can spend a day."""
    return FeatureReport(
        source=reading.path.name,
        digest=reading.catalogue.source_digest,
        features=features_of(reading),
        sheets=reading.sheets,
        findings=reading.findings,
        catalogue=reading.catalogue,
        daily_limit=daily_limit,
    )


def write_feature_report(report: FeatureReport, path_md: Path) -> None:
    """Write the report as Markdown; the same workbook gives the same bytes."""
    path_md.parent.mkdir(parents=True, exist_ok=True)
    path_md.write_text(render(report), encoding="utf-8")


def render(report: FeatureReport) -> str:
    """The report as Markdown."""
    catalogue = report.catalogue
    parts = [
        f"# Feature report: {report.source}",
        f"{len(catalogue.shops)} shops, {len(catalogue.menus)} menus and {len(catalogue.coupons)} coupons can be used. "
        f"{report.recommendation}",
        f"sha256 `{report.digest}`",
        *(_render_tier(report, tier) for tier in TIERS),
        _render_categories(report),
        _render_refused(report.findings),
        _render_values(report.findings),
        _render_sheets(report.sheets),
    ]
    return "\n\n".join(parts) + "\n"


def _render_tier(report: FeatureReport, tier: int) -> str:
    features = report.tier(tier)
    table = _table(
        ("feature", "has it", "readable", "distinct", "examples", "what to do"),
        [
            (
                feature.name,
                f"{_percent(feature.coverage)} ({feature.num_with} of {feature.num_all})",
                _percent(feature.validity),
                str(feature.distinct),
                ", ".join(feature.examples),
                feature.advice,
            )
            for feature in features
        ],
    )
    covered = _percent(_mean(feature.coverage for feature in features))
    return f"## Tier {tier}: {TIERS[tier]}\n\nMean coverage {covered}.\n\n{table}"


def _render_categories(report: FeatureReport) -> str:
    """What there is to talk about, by category."""
    rows = []
    shops_by_category: dict[str, set[str]] = {}
    for shop in report.catalogue.shops:
        shops_by_category.setdefault(shop.category, set()).add(shop.shop_id)
    for category, ids in sorted(shops_by_category.items(), key=lambda item: (-len(item[1]), item[0])):
        menus = [menu for menu in report.catalogue.menus if menu.shop_id in ids]
        affordable = sum(menu.price is not None and menu.price <= report.daily_limit for menu in menus)
        timed = sum(shop.hours is not None for shop in report.catalogue.shops if shop.shop_id in ids)
        allergens = sum(menu.allergens is not None for menu in menus)
        rows.append((category, str(len(ids)), str(timed), str(len(menus)), str(affordable), str(allergens)))
    heading = ("category", "shops", "with hours", "menus", f"up to {report.daily_limit:,}원", "with allergens")
    return f"## What there is to talk about\n\n{_table(heading, rows)}"


def _render_refused(findings: Sequence[Finding]) -> str:
    dropped = [item for item in findings if item.action == "dropped"]
    if not dropped:
        return "## Refused rows\n\nNone."
    return f"## Refused rows\n\n{_rule_table(dropped)}"


def _render_values(findings: Sequence[Finding]) -> str:
    lost = [item for item in findings if item.action == "kept_without"]
    mended = [item for item in findings if item.action == "repaired"]
    parts = []
    for title, items in (("Rows kept without a value", lost), ("Values put right", mended)):
        parts.append(f"## {title}\n\n{_rule_table(items) if items else 'None.'}")
    return "\n\n".join(parts)


def _rule_table(findings: Sequence[Finding]) -> str:
    """Findings by sheet, column and rule, most frequent first, with the first rows to look at."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for item in findings:
        groups.setdefault((item.sheet, item.column, item.rule), []).append(item)
    rows = []
    for (sheet, column, rule), items in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        numbers = ", ".join(str(item.row) for item in items[:5]) + (", …" if len(items) > 5 else "")
        example = next((item.value for item in items if item.value), "")
        rows.append((sheet, column, f"{rule}: {RULES[rule]}", str(len(items)), numbers, example))
    return _table(("sheet", "column", "rule", "count", "rows", "e.g."), rows)


def _render_sheets(sheets: Sequence[SheetSummary]) -> str:
    rows = []
    for sheet in sheets:
        refused = "; ".join(f"{rule} {count}" for rule, count in sheet.refused.items())
        name = f"{sheet.name} (hidden)" if sheet.hidden else sheet.name
        ignored = ", ".join(sheet.columns_ignored)
        rows.append((name, sheet.kind, str(sheet.rows_read), str(sheet.rows_used), refused, ignored))
    counts = Counter(sheet.kind for sheet in sheets)
    intro = (
        f"{counts['read']} of {len(sheets)} sheets were read. Of the others only the number of rows was looked at; "
        f"{counts['private']} of them are about people and never reach a dialogue."
    )
    table = _table(("sheet", "what was done", "rows", "used", "refused", "columns not looked at"), rows)
    return f"## Sheets\n\n{intro}\n\n{table}"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _mean(shares: Iterable[float]) -> float:
    values = list(shares)
    return sum(values) / len(values) if values else 0.0
