"""What the reader noticed and what it did about it, down to the cell."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nabi.errors import DataError

Action = Literal["dropped", "repaired", "kept_without"]
"""dropped: the row is not used; repaired: the value was understood; kept_without: only the value is lost."""

WITHHELD = "(withheld)"

RULES: dict[str, str] = {
    "ambiguous_allergens": "a number such as 1.1 may be 1 and 1 or 1 and 10",
    "break_outside_hours": "the break does not lie within the opening hours",
    "closed_down": "the shop is closed for good",
    "columns_disagree": "two columns for the same thing say different things; the first one counts",
    "control_token": "markup of a language model, or the separator of facts, inside a text",
    "coupon_refused": "the coupon it belongs to is not used",
    "decomposed_hangul": "Hangul in single letters (NFD), put together",
    "discount_too_big": "the discount is not below the price",
    "duplicate_favorite": "the same user and shop a second time",
    "duplicate_id": "the id stands in an earlier row",
    "duplicate_menu": "the same menu in the same shop; the dearest one stays",
    "duplicate_shop": "the same name and address but for spaces; menus go to the one that stays",
    "email": "an e-mail address in a text",
    "emoji": "emoji in a text",
    "formula_without_value": "a formula that was saved without its result",
    "full_width": "full-width letters, made plain",
    "hidden_by_operator": "the operator hid it",
    "holidays_not_kept": "closed on public holidays, which the catalogue does not know",
    "html": "HTML in a text",
    "implausible_hours": "open for more than 21 hours but not for 24",
    "long_number": "a number that may be an account or a phone",
    "menu_refused": "the menu it belongs to is not used",
    "missing_column": "the sheet lacks a column without which it says nothing",
    "name_too_long": "a name of more than 60 characters",
    "no_category": "no category",
    "no_closing_time": "an opening time without a closing time",
    "no_id": "no id, or one that cannot be read",
    "no_name": "no name",
    "no_place": "no usable shop or menu takes the coupon",
    "no_shop_id": "it says no shop",
    "no_value": "no value in won or percent",
    "not_active": "switched off",
    "not_for_children": "alcohol or tobacco",
    "not_stated": "the workbook says that it does not say",
    "orphan_category": "its category is in no row",
    "orphan_coupon": "its coupon is in no row",
    "orphan_menu": "its menu is in no row",
    "orphan_shop": "its shop is in no row",
    "percent_discount": "a discount in percent, made won",
    "personal_text": "names, numbers or schools of people",
    "phone": "a phone number in a text",
    "price_as_text": "a price written as text",
    "price_out_of_range": "a price under 100 or over 1,000,000 won",
    "price_range": "a price from … to …",
    "repeated_header": "the header once more",
    "several_hours": "different hours by day; only the time that is open on all of them is kept",
    "shop_refused": "the shop it belongs to is not used",
    "soft_deleted": "marked as deleted",
    "some_weeks_only": "closed in some weeks only; kept as closed in every week",
    "unreadable_allergens": "allergens that could not be read",
    "unreadable_closed_days": "days off that could not be read",
    "unreadable_date": "a date that could not be read",
    "unreadable_flag": "neither yes nor no; taken as the careful one",
    "unreadable_hours": "hours that could not be read",
    "unreadable_price": "a price that could not be read",
    "unreadable_rating": "not a rating from 1 to 5",
    "web_address": "a web address in a text",
    "zero_price": "a price of 0",
}
"""Every rule by name and what it means, for people."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was not as it should be. `row` is numbered as in Excel; 0 stands for the sheet as a whole."""

    sheet: str
    row: int
    column: str
    rule: str
    value: str
    action: Action
    note: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that a value broke, and in which of the columns that it was read from."""

    rule: str
    part: int = 0


class WorkbookError(DataError):
    """A workbook that could be opened but holds nothing to use; `findings` say why, row by row."""

    def __init__(
        self, what: str, *, where: str | None = None, fix: str | None = None, findings: Sequence[Finding] = ()
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.findings = tuple(findings)


@dataclass(slots=True)
class Ledger:
    """Collects findings while a workbook is read, and which rows were refused for which rule."""

    findings: list[Finding] = field(default_factory=list)
    refused: dict[tuple[str, int], str] = field(default_factory=dict)

    def note(self, finding: Finding) -> None:
        """Write a finding down; a dropped row counts once, by the first rule that dropped it."""
        self.findings.append(finding)
        if finding.action == "dropped":
            self.refused.setdefault((finding.sheet, finding.row), finding.rule)

    def reasons(self, sheet: str) -> dict[str, int]:
        """Refused rows of a sheet by rule, most frequent first."""
        counts: dict[str, int] = {}
        for (name, _), rule in self.refused.items():
            if name == sheet:
                counts[rule] = counts.get(rule, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_findings(findings: Sequence[Finding], path: Path) -> None:
    """The findings as CSV, one line each, with the rule explained; opens in any spreadsheet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sheet", "row", "column", "rule", "meaning", "value", "action", "note"])
        for item in findings:
            # A leading quote keeps a spreadsheet from running a cell such as =HYPERLINK(…).
            value = f"'{item.value}" if item.value[:1] in ("=", "+", "-", "@") else item.value
            writer.writerow(
                [item.sheet, item.row, item.column, item.rule, RULES.get(item.rule, ""), value, item.action, item.note]
            )
