"""Chat logs: one JSON object a line, one conversation a row.

The fields of a row (those without "needed" may be missing or null; others are ignored):

    messages          needed: [{"role": "user" | "assistant" | "system", "content": text}, …]
    timestamp         needed: ISO 8601 with a zone, e.g. 2026-07-01T09:00:00+09:00
    persona_id        or character_id: whose conversation it is; needed unless the caller says so
    conversation_id   missing: a hash of the content
    dataset_source    who wrote the answers, e.g. operator; missing: chat
    user_id           stored as a keyed hash only
    user_age          years; not stored. Below 14 the consent counts only with a guardian's
    consent           {"training", "given_at", "withdrawn_at", "guardian"}, or true or false; missing: no
    retrieved_items   [{label: value}, …]: what the assistant was shown; values become text
    kind, feedback (-1…1), adapter_version, style_tags, safety_flags

Text is composed (NFC). A row with a control character, a replacement character (�) or half a surrogate was damaged
before it got here and is refused: no wrong character ever enters the store.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

from nabi.conversations.keys import user_key
from nabi.conversations.records import Consent, Conversation, Fact, Message, Role
from nabi.conversations.sources.lines import Line, read_lines
from nabi.conversations.sources.rows import Accepted, Refused, Row

T = TypeVar("T")

MAX_EXCERPT_CHARS = 4_000
MAX_ID_CHARS = 200
MAX_NAME_CHARS = 64

AGE_OF_OWN_CONSENT = 14
"""Below it a guardian must agree: Personal Information Protection Act (Korea), article 22-2."""

DEFAULT_SOURCE = "chat"
RESERVED_SOURCE = "bootstrap"

# The rule of `nabi.personas.model.Persona.id`; ids become folder names.
_PERSONA_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_PERSONA_ID_CHARS = 48
# Up to the end of the row when the value is an object or a list: its end cannot be told in a row cut short.
_USER_ID_VALUE = re.compile(r'("user_id"\s*:\s*)("(?:[^"\\]|\\.)*"?|[\[{].*|[^\s,}\]]+)', re.DOTALL)
# The replacement character, halves of a surrogate pair, and control characters other than tab and line ends.
_DAMAGE = re.compile(r"[\ufffd\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ROLES = get_args(Role)


class _RowError(Exception):
    """A rule that the row breaks, and the field that breaks it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


def read_chat_log(path: Path, persona_id: str | None, key: bytes) -> Iterator[Row]:
    """Read a chat log row by row; a bad row is refused with its reason and never stops the reading.

    Args:
        path: JSON lines in UTF-8 (with or without BOM) or CP949.
        persona_id: whose log it is; a row that names another one is refused. None: each row says.
        key: of the users' hashes, see `nabi.conversations.keys`.

    Raises:
        DataError: the file cannot be opened.
    """
    for line in read_lines(path):
        yield _read_row(line, persona_id, key)


def _read_row(line: Line, persona_id: str | None, key: bytes) -> Row:
    row: dict[str, Any] = {}
    try:
        row = _parse(line)
        return Accepted(line.number, _conversation(row, persona_id, key))
    except _RowError as error:
        return Refused(
            line=line.number,
            field=error.field,
            reason=error.reason,
            excerpt=_excerpt(line),
            persona_id=_or_none(_persona_id, row, persona_id) or persona_id,
            user_key=_or_none(_user_key, row, key),
        )


def _parse(line: Line) -> dict[str, Any]:
    if line.text is None:
        raise _RowError("", line.problem)
    if "\0" in line.text:
        raise _RowError("", "the row holds a NUL character")
    try:
        row = json.loads(line.text, object_pairs_hook=_without_doubles, parse_constant=_no_number)
    except RecursionError as error:
        raise _RowError("", "the row is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise _RowError("", f"the row is no valid JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a whole number of more than 4,300 digits
        raise _RowError("", "the row holds a number that cannot be read") from error
    if not isinstance(row, dict):
        raise _RowError("", "the row is no JSON object")
    return row


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _value in pairs]
        double = next(name for name in found if names.count(name) > 1)
        raise _RowError(_shown(double), "the field is given twice")
    return found


def _no_number(constant: str) -> NoReturn:
    raise _RowError("", f"the row holds {constant}, which is no number")


def _conversation(row: dict[str, Any], persona_id: str | None, key: bytes) -> Conversation:
    conversation = Conversation(
        conversation_id=_id(row, "conversation_id") or "",
        persona_id=_persona_id(row, persona_id),
        source=_source(row),
        occurred_at=_occurred_at(row),
        messages=_messages(row),
        facts=_facts(row),
        user_key=_user_key(row, key),
        consent=_consent(row),
        kind=_name(row, "kind"),
        feedback=_feedback(row),
        adapter_version=_id(row, "adapter_version"),
        style_tags=_tags(row, "style_tags"),
        safety_flags=_tags(row, "safety_flags"),
    )
    if conversation.conversation_id:
        return conversation
    return conversation.model_copy(update={"conversation_id": _content_id(conversation)})


def _content_id(conversation: Conversation) -> str:
    """A stable id of a conversation that came without one: who said what to whom, and when."""
    said = conversation.model_dump_json(
        include={"persona_id", "source", "occurred_at", "messages", "facts", "user_key"}
    )
    return f"sha-{hashlib.sha256(said.encode()).hexdigest()[:24]}"


def _persona_id(row: dict[str, Any], expected: str | None) -> str:
    named = {field: row[field] for field in ("persona_id", "character_id") if row.get(field) is not None}
    for field, value in named.items():
        if not isinstance(value, str) or len(value) > _MAX_PERSONA_ID_CHARS or not _PERSONA_ID.fullmatch(value):
            raise _RowError(field, "a persona's id is small letters, digits and single hyphens, at most 48")
        if expected is not None and value != expected:
            raise _RowError(field, f"the row belongs to {value}, not to {expected}")
    if len(set(named.values())) > 1:
        raise _RowError("character_id", "persona_id and character_id name two personas")
    if not named and expected is None:
        raise _RowError("persona_id", "the row does not say whose it is")
    return next(iter(named.values()), expected) or ""


def _source(row: dict[str, Any]) -> str:
    source = _name(row, "dataset_source") or DEFAULT_SOURCE
    if source == RESERVED_SOURCE:
        raise _RowError("dataset_source", "bootstrap is reserved for dialogues that nabi makes from a catalogue")
    return source


def _occurred_at(row: dict[str, Any]) -> datetime:
    moment = _moment(row.get("timestamp"), "timestamp")
    if moment is None:
        raise _RowError("timestamp", "the field is missing")
    return moment


def _moment(value: Any, field: str) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _RowError(field, "a time is text such as 2026-07-01T09:00:00+09:00")
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            raise _RowError(field, f"the time {_shown(value)} has no zone; write it as 2026-07-01T09:00:00+09:00")
        return moment.astimezone(UTC)  # overflows on the first and last day of the calendar
    except (ValueError, OverflowError) as error:
        raise _RowError(field, f"{_shown(value)} is no time; write it as 2026-07-01T09:00:00+09:00") from error


def _messages(row: dict[str, Any]) -> tuple[Message, ...]:
    messages = _list(row, "messages")
    if not messages:
        raise _RowError("messages", "there is no message")
    return tuple(_message(message, f"messages[{place}]") for place, message in enumerate(messages))


def _message(message: Any, field: str) -> Message:
    if not isinstance(message, dict):
        raise _RowError(field, 'a message is an object {"role", "content"}')
    role = message.get("role")
    if role not in _ROLES:
        raise _RowError(f"{field}.role", f"{_shown(role)} is no role; roles are {', '.join(_ROLES)}")
    content = _text(message.get("content"), f"{field}.content")
    if not content.strip():
        raise _RowError(f"{field}.content", "the message is empty")
    return Message(role=role, content=content)


def _facts(row: dict[str, Any]) -> tuple[Fact, ...]:
    facts = (_fact(item, f"retrieved_items[{place}]") for place, item in enumerate(_list(row, "retrieved_items")))
    return tuple(fact for fact in facts if fact)


def _fact(item: Any, field: str) -> Fact:
    if not isinstance(item, dict):
        raise _RowError(field, "an item is an object {label: value}")
    fact: Fact = {}
    for label, value in item.items():
        name = _text(label, field).strip()
        if not name or name in fact:
            raise _RowError(field, f"the label {_shown(label)} is empty or given twice")
        if value is not None:
            fact[name] = _fact_value(value, f"{field}.{_shown(name)}")
    return fact


def _fact_value(value: Any, field: str) -> str:
    """The value as a person would write it: 4500.0 is 4500, true is 예, a flat list is joined by commas."""
    if isinstance(value, list):
        return ", ".join(_scalar_text(part, field) for part in value if part is not None)
    return _scalar_text(value, field)


def _scalar_text(value: Any, field: str) -> str:
    if isinstance(value, bool):
        return "예" if value else "아니요"
    if isinstance(value, int | float):
        return _number_text(value, field)
    return _text(value, field)


def _number_text(value: float, field: str) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    text = str(value)
    if text in ("inf", "-inf"):
        raise _RowError(field, "the number is too large")
    return text


def _user_key(row: dict[str, Any], key: bytes) -> str | None:
    who = _id(row, "user_id")
    return None if who is None else user_key(who, key)


def _consent(row: dict[str, Any]) -> Consent:
    given = row.get("consent")
    if given is None or isinstance(given, bool):
        given = {"training": bool(given)}
    if not isinstance(given, dict):
        raise _RowError("consent", 'consent is true, false or {"training", "given_at", "withdrawn_at", "guardian"}')
    training = _yes_or_no(given, "training") or False
    guardian = _yes_or_no(given, "guardian")
    if _is_child(row) and not guardian:
        training = False
    return Consent(
        training=training,
        given_at=_moment(given.get("given_at"), "consent.given_at"),
        withdrawn_at=_moment(given.get("withdrawn_at"), "consent.withdrawn_at"),
        guardian=guardian,
    )


def _is_child(row: dict[str, Any]) -> bool:
    age = row.get("user_age")
    if age is None:
        return False
    if isinstance(age, bool) or not isinstance(age, int | float) or not 0 <= age <= 150:
        raise _RowError("user_age", f"{_shown(age)} is no age in years")
    return age < AGE_OF_OWN_CONSENT


def _yes_or_no(consent: dict[str, Any], field: str) -> bool | None:
    value = consent.get(field)
    if value is not None and not isinstance(value, bool):
        raise _RowError(f"consent.{field}", f"{_shown(value)} is neither true nor false")
    return value


def _feedback(row: dict[str, Any]) -> float | None:
    value = row.get("feedback")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise _RowError("feedback", f"{_shown(value)} is no number from -1 to 1")
    return float(value)


def _tags(row: dict[str, Any], field: str) -> tuple[str, ...]:
    return tuple(_short(tag, f"{field}[{place}]", MAX_NAME_CHARS) for place, tag in enumerate(_list(row, field)))


def _name(row: dict[str, Any], field: str) -> str | None:
    value = row.get(field)
    return None if value is None else _short(value, field, MAX_NAME_CHARS)


def _id(row: dict[str, Any], field: str) -> str | None:
    """An id as text; systems that count their ids send numbers."""
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return _short(value, field, MAX_ID_CHARS)


def _short(value: Any, field: str, max_chars: int) -> str:
    text = _text(value, field).strip()
    if not text or len(text) > max_chars or not text.isprintable():
        raise _RowError(field, f"the text is empty, longer than {max_chars} characters, or not on one line")
    return text


def _list(row: dict[str, Any], field: str) -> list[Any]:
    value = row.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _RowError(field, "the field is no list")
    return value


def _text(value: Any, field: str) -> str:
    """Composed text without a trace of damage."""
    if not isinstance(value, str):
        raise _RowError(field, f"{_shown(value)} is no text")
    damage = _DAMAGE.search(value)
    if damage:
        raise _RowError(field, f"the text was damaged before it got here: it holds U+{ord(damage[0]):04X}")
    return unicodedata.normalize("NFC", value)


def _or_none(read: Callable[[dict[str, Any], T], str | None], row: dict[str, Any], argument: T) -> str | None:
    """What can still be told about a row that is refused anyway."""
    try:
        return read(row, argument)
    except _RowError:
        return None


def _excerpt(line: Line) -> str:
    """The row for a person's eyes: shortened, without its user's id, storable in any database."""
    text = line.text if line.text is not None else line.raw[: 2 * MAX_EXCERPT_CHARS].decode("utf-8", "backslashreplace")
    text = _USER_ID_VALUE.sub(r'\1"(removed)"', text[: 2 * MAX_EXCERPT_CHARS]).replace("\0", "\\u0000")
    if len(text) <= MAX_EXCERPT_CHARS:
        return text
    return f"{text[:MAX_EXCERPT_CHARS]}… ({len(line.raw):,} bytes, sha256 {hashlib.sha256(line.raw).hexdigest()})"


def _shown(value: Any) -> str:
    """A value in a message: short, and in characters that any terminal and database take."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 42 else f"{text[:40]}…"
