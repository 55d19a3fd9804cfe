"""Chat and character logs: one JSON object a line, one conversation a row.

The fields of a row (those without "needed" may be missing or null; others are ignored):

    messages          needed: [{"role": "user" | "assistant" | "system", "content": text}, …]
    timestamp         needed: ISO 8601 with a zone, e.g. 2026-07-01T09:00:00+09:00
    persona_id        or character_id: whose conversation it is; needed unless the caller says so
    conversation_id   missing: a hash of the content
    dataset_source    who wrote the answers, e.g. operator; missing: chat, or character in a character log
    user_id           stored as a keyed hash only
    user_age          years; not stored. Below 14 the consent counts only with a guardian's
    consent           {"training", "given_at", "withdrawn_at", "guardian"}, or true or false; missing: no
    retrieved_items   [{label: value}, …]: what the assistant was shown; values become text
    kind, feedback (-1…1), adapter_version, style_tags, safety_flags
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

from nabi.conversations.records import Conversation, Message, Role
from nabi.conversations.sources import fields
from nabi.conversations.sources.fields import Fields, RowError, shown
from nabi.conversations.sources.json_rows import Made, read_rows
from nabi.conversations.sources.owners import owner_by_id, owner_of_unnamed
from nabi.conversations.sources.rows import Delivery, Row

RESERVED_SOURCE = "bootstrap"

_ROLES = get_args(Role)


def read_chat_log(path: Path, delivery: Delivery, default_source: str = "chat") -> Iterator[Row]:
    """Read a chat log row by row; a bad row is refused with its reason and never stops the reading.

    Args:
        path: JSON lines in UTF-8, UTF-16 or CP949.
        default_source: the source of rows without a `dataset_source`.

    Raises:
        DataError: the file cannot be opened.
    """
    return read_rows(path, delivery, partial(_conversation, default_source=default_source), _owner)


def read_character_log(path: Path, delivery: Delivery) -> Iterator[Row]:
    """The same for the logs of characters, whose rows name the persona as `character_id`."""
    return read_chat_log(path, delivery, "character")


def _owner(row: Fields, delivery: Delivery) -> str:
    return owner_by_id(row, delivery) or owner_of_unnamed(delivery)


def _conversation(row: Fields, delivery: Delivery, default_source: str) -> Made:
    conversation = Conversation(
        conversation_id=fields.identifier(row, "conversation_id") or "",
        persona_id=_owner(row, delivery),
        source=_source(row, default_source),
        occurred_at=fields.occurred_at(row),
        messages=_messages(row),
        facts=fields.facts(row),
        user_key=fields.key_of_user(row, delivery.key),
        consent=fields.consent(row),
        kind=fields.name(row, "kind"),
        feedback=fields.feedback(row),
        adapter_version=fields.identifier(row, "adapter_version"),
        style_tags=fields.tags(row, "style_tags"),
        safety_flags=fields.tags(row, "safety_flags"),
    )
    if not conversation.conversation_id:
        conversation = conversation.model_copy(update={"conversation_id": _content_id(conversation)})
    return Made(conversation)


def _content_id(conversation: Conversation) -> str:
    """A stable id of a conversation that came without one: who said what to whom, and when."""
    said = conversation.model_dump_json(
        include={"persona_id", "source", "occurred_at", "messages", "facts", "user_key"}
    )
    return f"sha-{hashlib.sha256(said.encode()).hexdigest()[:24]}"


def _source(row: Fields, default: str) -> str:
    source = fields.name(row, "dataset_source") or default
    if source == RESERVED_SOURCE:
        raise RowError("dataset_source", "bootstrap is reserved for dialogues that nabi makes from a catalogue")
    return source


def _messages(row: Fields) -> tuple[Message, ...]:
    messages = fields.items(row, "messages")
    if not messages:
        raise RowError("messages", "there is no message")
    return tuple(_message(message, f"messages[{place}]") for place, message in enumerate(messages))


def _message(message: Any, field: str) -> Message:
    if not isinstance(message, dict):
        raise RowError(field, 'a message is an object {"role", "content"}')
    role = message.get("role")
    if role not in _ROLES:
        raise RowError(f"{field}.role", f"{shown(role)} is no role; roles are {', '.join(_ROLES)}")
    content = fields.text(message.get("content"), f"{field}.content")
    if not content.strip():
        raise RowError(f"{field}.content", "the message is empty")
    return Message(role=role, content=content)
