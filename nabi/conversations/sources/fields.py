"""The fields of one row: each reads one thing rightly, or says which rule it breaks.

Text is composed (NFC). Text with a control character, a replacement character (�) or half a surrogate was damaged
before it got here and is refused: no wrong character ever enters the store.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from nabi.conversations.keys import user_key
from nabi.conversations.records import Consent, Fact
from nabi.conversations.sources.lines import Line
from nabi.conversations.sources.rows import NO_PERMISSION, NO_PERSONA, OTHER_PERSONA, UNUSABLE_ROW, Refused

T = TypeVar("T")
Fields = Mapping[str, Any]
"""A row as JSON gave it."""

MAX_EXCERPT_CHARS = 4_000
MAX_ID_CHARS = 200
MAX_NAME_CHARS = 64

AGE_OF_OWN_CONSENT = 14
"""Below it a guardian must agree: Personal Information Protection Act (Korea), article 22-2."""

_WITHHELD = (NO_PERMISSION, NO_PERSONA, OTHER_PERSONA)
"""Kinds of reasons under which nobody may look at a row later."""

# Up to the end of the row when the value is an object or a list: its end cannot be told in a row cut short.
_USER_ID_VALUE = re.compile(
    r'("(?:user_id|speaker_id|speaker)"\s*:\s*)("(?:[^"\\]|\\.)*"?|[\[{].*|[^\s,}\]]+)', re.DOTALL
)
_WHOLE_USER_ID = re.compile(r'"user_id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')
# The replacement character, halves of a surrogate pair, and control characters other than tab and line ends.
_DAMAGE = re.compile(r"[\ufffd\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class RowError(Exception):
    """A rule that the row breaks, and the field that breaks it. `phrase` is the kind of reason, see `rows`."""

    def __init__(self, field: str, reason: str, phrase: str = UNUSABLE_ROW) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason
        self.phrase = phrase


def refused(
    line: Line, error: RowError, *, persona_id: str | None = None, key: str | None = None, speaker: str | None = None
) -> Refused:
    """The refusal of a row."""
    return Refused(
        line=line.number,
        field=error.field,
        reason=error.reason,
        excerpt=_withheld(line) if error.phrase in _WITHHELD else excerpt(line),
        persona_id=persona_id,
        user_key=key,
        phrase=error.phrase,
        speaker=speaker,
    )


def parse(line: Line) -> dict[str, Any]:
    """The JSON object of a line."""
    if line.text is None:
        raise RowError("", line.problem)
    if "\0" in line.text:
        raise RowError("", "the row holds a NUL character")
    try:
        row = json.loads(line.text, object_pairs_hook=_without_doubles, parse_constant=_no_number)
    except RecursionError as error:
        raise RowError("", "the row is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise RowError("", f"the row is no valid JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a whole number of more than 4,300 digits
        raise RowError("", "the row holds a number that cannot be read") from error
    if not isinstance(row, dict):
        raise RowError("", "the row is no JSON object")
    return row


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _value in pairs]
        double = next(name for name in found if names.count(name) > 1)
        raise RowError(shown(double), "the field is given twice")
    return found


def _no_number(constant: str) -> NoReturn:
    raise RowError("", f"the row holds {constant}, which is no number")


def occurred_at(row: Fields) -> datetime:
    """The row's time, which it must have."""
    found = moment(row.get("timestamp"), "timestamp")
    if found is None:
        raise RowError("timestamp", "the field is missing")
    return found


def moment(value: Any, field: str) -> datetime | None:
    """A point in time with a zone, in UTC; None when there is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise RowError(field, "a time is text such as 2026-07-01T09:00:00+09:00")
    try:
        found = datetime.fromisoformat(value.strip())
        if found.tzinfo is None:
            raise RowError(field, f"the time {shown(value)} has no zone; write it as 2026-07-01T09:00:00+09:00")
        return found.astimezone(UTC)  # overflows on the first and last day of the calendar
    except (ValueError, OverflowError) as error:
        raise RowError(field, f"{shown(value)} is no time; write it as 2026-07-01T09:00:00+09:00") from error


def facts(row: Fields) -> tuple[Fact, ...]:
    """The retrieved items as label → value; items without a value are left out."""
    found = (fact(item, f"retrieved_items[{place}]") for place, item in enumerate(items(row, "retrieved_items")))
    return tuple(item for item in found if item)


def fact(item: Any, field: str) -> Fact:
    """One retrieved item."""
    if not isinstance(item, dict):
        raise RowError(field, "an item is an object {label: value}")
    found: Fact = {}
    for label, value in item.items():
        name = text(label, field).strip()
        if not name or name in found:
            raise RowError(field, f"the label {shown(label)} is empty or given twice")
        if value is not None:
            found[name] = fact_value(value, f"{field}.{shown(name)}")
    return found


def fact_value(value: Any, field: str) -> str:
    """The value as a person would write it: 4500.0 is 4500, true is 예, a flat list is joined by commas."""
    if isinstance(value, list):
        return ", ".join(_scalar_text(part, field) for part in value if part is not None)
    return _scalar_text(value, field)


def _scalar_text(value: Any, field: str) -> str:
    if isinstance(value, bool):
        return "예" if value else "아니요"
    if isinstance(value, int | float):
        return _number_text(value, field)
    return text(value, field)


def _number_text(value: float, field: str) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    written = str(value)
    if written in ("inf", "-inf"):
        raise RowError(field, "the number is too large")
    return written


def key_of_user(row: Fields, key: bytes) -> str | None:
    """Keyed hash of the row's user, when it names one."""
    who = identifier(row, "user_id")
    return None if who is None else user_key(who, key)


def key_in_text(line: Line, key: bytes) -> str | None:
    """The same for a row that cannot be parsed: kept apart without its owner, it would be missed by their deletion."""
    text = line.text if line.text is not None else line.raw.decode("utf-8", "replace")
    found = _WHOLE_USER_ID.search(text)
    if found is None:
        return None
    try:
        who = str(json.loads(found[1])).strip()
        return user_key(who, key) if who else None
    except ValueError:  # a control character or half a surrogate pair inside
        return None


def consent(row: Fields) -> Consent:
    """What the row's person allowed; nothing said means no. A child's yes counts only with a guardian's."""
    given = row.get("consent")
    if given is None or isinstance(given, bool):
        given = {"training": bool(given)}
    if not isinstance(given, dict):
        raise RowError("consent", 'consent is true, false or {"training", "given_at", "withdrawn_at", "guardian"}')
    training = _yes_or_no(given, "training") or False
    guardian = _yes_or_no(given, "guardian")
    if _is_child(row) and not guardian:
        training = False
    return Consent(
        training=training,
        given_at=moment(given.get("given_at"), "consent.given_at"),
        withdrawn_at=moment(given.get("withdrawn_at"), "consent.withdrawn_at"),
        guardian=guardian,
    )


def _is_child(row: Fields) -> bool:
    age = row.get("user_age")
    if age is None:
        return False
    if isinstance(age, bool) or not isinstance(age, int | float) or not 0 <= age <= 150:
        raise RowError("user_age", f"{shown(age)} is no age in years")
    return age < AGE_OF_OWN_CONSENT


def _yes_or_no(given: Fields, field: str) -> bool | None:
    value = given.get(field)
    if value is not None and not isinstance(value, bool):
        raise RowError(f"consent.{field}", f"{shown(value)} is neither true nor false")
    return value


def feedback(row: Fields) -> float | None:
    """The user's reaction from -1 to 1."""
    value = row.get("feedback")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise RowError("feedback", f"{shown(value)} is no number from -1 to 1")
    return float(value)


def tags(row: Fields, field: str) -> tuple[str, ...]:
    """A list of short texts."""
    return tuple(short(tag, f"{field}[{place}]", MAX_NAME_CHARS) for place, tag in enumerate(items(row, field)))


def name(row: Fields, field: str) -> str | None:
    """A short text."""
    value = row.get(field)
    return None if value is None else short(value, field, MAX_NAME_CHARS)


def identifier(row: Fields, field: str) -> str | None:
    """An id as text; systems that count their ids send numbers."""
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return short(value, field, MAX_ID_CHARS)


def short(value: Any, field: str, max_chars: int) -> str:
    """Text on one line, of at most so many characters."""
    found = text(value, field).strip()
    if not found or len(found) > max_chars or not found.isprintable():
        raise RowError(field, f"the text is empty, longer than {max_chars} characters, or not on one line")
    return found


def items(row: Fields, field: str) -> list[Any]:
    """A list; none when the field is missing."""
    value = row.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowError(field, "the field is no list")
    return value


def needed_text(row: Fields, field: str) -> str:
    """Text that must be there and hold more than blanks."""
    if row.get(field) is None:
        raise RowError(field, "the field is missing")
    found = text(row[field], field)
    if not found.strip():
        raise RowError(field, "the text is empty")
    return found


def optional_text(row: Fields, field: str) -> str:
    """Text that may be missing, null or blank: then it is empty."""
    found = text(row[field], field) if row.get(field) is not None else ""
    return found if found.strip() else ""


def text(value: Any, field: str) -> str:
    """Composed text without a trace of damage."""
    if not isinstance(value, str):
        raise RowError(field, f"{shown(value)} is no text")
    damage = _DAMAGE.search(value)
    if damage:
        raise RowError(field, f"the text was damaged before it got here: it holds U+{ord(damage[0]):04X}")
    return unicodedata.normalize("NFC", value)


def or_none(read: Callable[..., T], *arguments: Any) -> T | None:
    """What can still be told about a row that is refused anyway."""
    try:
        return read(*arguments)
    except RowError:
        return None


def content_id(prefix: str, *parts: Any) -> str:
    """A stable id of something that came without one, from what it says."""
    body = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), default=str)
    return f"{prefix}{hashlib.sha256(body.encode()).hexdigest()[:24]}"


def excerpt(line: Line) -> str:
    """The row for a person's eyes: shortened, without its user's id, storable in any database."""
    limit = 2 * MAX_EXCERPT_CHARS
    start = line.raw[:limit].decode("utf-8", "backslashreplace") if line.text is None else line.text[:limit]
    start = start.encode("utf-8", "backslashreplace").decode()  # halves of a surrogate pair
    start = _USER_ID_VALUE.sub(r'\1"(removed)"', start).replace("\0", "\\u0000")
    return start if len(start) <= MAX_EXCERPT_CHARS else f"{start[:MAX_EXCERPT_CHARS]}… ({_size(line)})"


def _withheld(line: Line) -> str:
    return f"(not kept: {_size(line)})"


def _size(line: Line) -> str:
    return f"{len(line.raw):,} bytes, sha256 {hashlib.sha256(line.raw).hexdigest()}"


def shown(value: Any) -> str:
    """A value in a message: short, and in characters that any terminal and database take."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    written = repr(value)
    return written if len(written) <= 42 else f"{written[:40]}…"
