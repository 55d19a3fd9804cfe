"""What a row must be to be used: rules as pandera checks over the normalised tables, failures as findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nabi.catalogue.findings import WITHHELD, Action, Finding, Ledger
from nabi.catalogue.tables import Table, shown
from nabi.catalogue.texts import MAX_NAME, not_for_children

if TYPE_CHECKING:
    import pandas as pd

MIN_PRICE, MAX_PRICE = 100, 1_000_000
"""Won. Below is a slip of the pen (45 for 4,500), above is no meal."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule on one field of a row. `holds` gets the whole column and says for each value whether it may stay."""

    field: str
    name: str
    holds: Callable[[pd.Series[Any]], pd.Series[Any]]
    action: Action = "dropped"


def _each(test: Callable[[Any], bool]) -> Callable[[pd.Series[Any]], pd.Series[Any]]:
    return lambda values: values.map(test).astype(bool)


_PRESENT = _each(lambda value: value is not None)
_NOT_TRUE = _each(lambda value: value is not True)
_FIT = _each(lambda value: value is None or not not_for_children(value))
_SHORT = _each(lambda value: value is None or len(value) <= MAX_NAME)
_PRICE = _each(lambda value: value is None or MIN_PRICE <= value <= MAX_PRICE)


def _first_of_its_kind(values: pd.Series[Any]) -> pd.Series[Any]:
    return ~values.duplicated(keep="first")


NAMED = (
    Rule("id", "no_id", _PRESENT),
    Rule("deleted", "soft_deleted", _NOT_TRUE),
    Rule("name", "no_name", _PRESENT),
    Rule("name", "name_too_long", _SHORT),
    Rule("name", "not_for_children", _FIT),
)
UNIQUE = (Rule("id", "duplicate_id", _first_of_its_kind),)

SHOP_RULES = (*NAMED, Rule("closed_down", "closed_down", _NOT_TRUE), Rule("category", "not_for_children", _FIT))
MENU_RULES = (
    *NAMED,
    Rule("shop_id", "no_shop_id", _PRESENT),
    Rule("price", "price_out_of_range", _PRICE, "kept_without"),
)
COUPON_RULES = (
    *NAMED,
    Rule("active", "not_active", _each(lambda value: value is not False)),
    Rule("benefit", "no_value", _PRESENT),
)
MAP_RULES = (Rule("deleted", "soft_deleted", _NOT_TRUE),)
REVIEW_RULES = (
    Rule("deleted", "soft_deleted", _NOT_TRUE),
    Rule("blind", "hidden_by_operator", _NOT_TRUE),
    Rule("shop_id", "no_shop_id", _PRESENT),
)
FAVORITE_RULES = (*MAP_RULES, Rule("shop_id", "no_shop_id", _PRESENT), Rule("user_id", "no_id", _PRESENT))


def known_key(
    field: str, noun: str, usable: Collection[str], seen: Collection[str], action: Action = "dropped"
) -> tuple[Rule, Rule]:
    """Rules for a foreign key: its row must exist (`orphan_…`) and must not have been refused (`…_refused`)."""
    exists = _each(lambda value: value is None or value in seen)
    stays = _each(lambda value: value is None or value in usable or value not in seen)
    return Rule(field, f"orphan_{noun}", exists, action), Rule(field, f"{noun}_refused", stays, action)


def check_rows(table: Table, rules: Sequence[Rule], ledger: Ledger) -> None:
    """Apply rules to the rows of a table: refused rows leave it, doubtful values become None, all is noted."""
    if not table.rows:
        return
    rows = {row.number: row for row in table.rows}
    actions = {rule.name: rule.action for rule in rules}
    private = {item.name for item in table.spec.fields if item.private}
    refused: set[int] = set()
    for number, field, name in _failures(table, rules):
        column, cell = table.source(rows[number], field)
        text = WITHHELD if field in private else shown(cell)
        ledger.note(Finding(table.name, number, column, name, text, actions[name]))
        if actions[name] == "dropped":
            refused.add(number)
        else:
            rows[number].values[field] = None
    table.without(refused)


def _failures(table: Table, rules: Sequence[Rule]) -> list[tuple[int, str, str]]:
    """Row, field and rule of each failure, by the order of the rules and then of the rows."""
    import pandas as pd
    import pandera.errors
    import pandera.pandas as pa

    fields = list(dict.fromkeys(rule.field for rule in rules))
    frame = pd.DataFrame(
        [[row.values[field] for field in fields] for row in table.rows],
        columns=fields,
        index=[row.number for row in table.rows],
        dtype=object,
    )
    checks = {
        field: pa.Column(
            nullable=True,
            checks=[pa.Check(rule.holds, error=rule.name, ignore_na=False) for rule in rules if rule.field == field],
        )
        for field in fields
    }
    try:
        pa.DataFrameSchema(checks).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as failed:
        order = {(rule.field, rule.name): place for place, rule in enumerate(rules)}
        cases = failed.failure_cases
        found = [
            (int(number), str(field), str(name))
            for number, field, name in zip(cases["index"], cases["column"], cases["check"], strict=True)
        ]
        return sorted(found, key=lambda case: (order[case[1], case[2]], case[0]))
    return []
