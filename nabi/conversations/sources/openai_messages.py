"""Messages as OpenAI's fine-tuning files have them, as messages and facts of ours.

Beyond plain turns they know a `developer` (our system), contents in parts, answers that only call tools, what the
tools gave back, and answers with weight 0 that are not to be learned. What a tool gave back for the last question is
context: it becomes a fact, never a turn to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from nabi.conversations.records import Fact, Message, Role
from nabi.conversations.sources import fields
from nabi.conversations.sources.fields import RowError, shown

ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

TOOL_ROLES = ("tool", "function")


@dataclass(frozen=True)
class Dialogue:
    """Turns that end with the answer to learn, what was looked up for it, and the names of tools that were called."""

    messages: tuple[Message, ...]
    facts: tuple[Fact, ...] = ()
    tools: tuple[str, ...] = ()


def read_messages(delivered: Sequence[Any]) -> Dialogue:
    """Read the list of a row.

    Raises:
        RowError: a message breaks a rule, or the last one is no answer to learn.
    """
    messages: list[Message] = []
    given_back: list[Fact] = []
    tools: list[str] = []
    for place, item in enumerate(delivered):
        field = f"messages[{place}]"
        if not isinstance(item, dict):
            raise RowError(field, 'a message is an object {"role", "content"}')
        role = item.get("role")
        if role in TOOL_ROLES:
            given_back.append(_given_back(item, field))
            continue
        called = _called_tools(item, field)
        tools += called
        if called and not item.get("content"):
            continue
        messages.append(_message(item, field))
        if role == "user":
            given_back.clear()  # what was looked up for an earlier question is not what the last answer rests on
    _hold_last(delivered, messages)
    return Dialogue(tuple(messages), tuple(given_back), tuple(dict.fromkeys(tools)))


def _message(item: Mapping[str, Any], field: str) -> Message:
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RowError(f"{field}.role", f"{shown(role)} is no role; roles are {', '.join([*ROLES, *TOOL_ROLES])}")
    content = _content(item.get("content"), f"{field}.content")
    if not content.strip():
        raise RowError(f"{field}.content", "the message is empty")
    return Message(role=ROLES[role], content=content)


def _content(value: Any, field: str) -> str:
    if not isinstance(value, list):
        return fields.text(value, field)
    parts: list[str] = []
    for place, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != "text":
            raise RowError(f"{field}[{place}]", "only parts of type text can be learned from")
        parts.append(fields.text(part.get("text"), f"{field}[{place}].text"))
    return "\n".join(parts)


def _called_tools(item: Mapping[str, Any], field: str) -> list[str]:
    calls = fields.items(item, "tool_calls") if item.get("role") == "assistant" else []
    names: list[str] = []
    for place, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise RowError(f"{field}.tool_calls[{place}]", 'a call is an object {"function": {"name"}}')
        names.append(fields.short(function.get("name"), f"{field}.tool_calls[{place}]", fields.MAX_NAME_CHARS - 5))
    return names


def _given_back(item: Mapping[str, Any], field: str) -> Fact:
    result = _content(item.get("content"), f"{field}.content").strip()
    if not result:
        raise RowError(f"{field}.content", "the message is empty")
    tool = fields.name(item, "name")
    return {"도구": tool, "결과": result} if tool else {"결과": result}


def _hold_last(delivered: Sequence[Any], messages: Sequence[Message]) -> None:
    if not messages:
        raise RowError("messages", "there is no message")
    if messages[-1].role != "assistant":
        raise RowError("messages", "the last message is no answer of the assistant")
    last = cast("Mapping[str, Any]", delivered[-1])
    if last.get("role") == "assistant" and last.get("weight") == 0:
        raise RowError(f"messages[{len(delivered) - 1}].weight", "the last answer is marked as not to be learned")
