"""Search logs: what was asked, what was found, what was answered. One JSON object a line.

    request_id             needed
    timestamp              needed: ISO 8601 with a zone
    user_query             needed: the question
    retrieved_items        [{name, url, description, …}, …], best first: the first ones become facts, in short
    llm_response_content   the answer; may be missing where a golden answer takes its place
    persona_id             whose search it is; needed unless the caller says so, or only one persona answers searches
    user_id, user_age, consent, feedback, adapter_version, kind, style_tags, safety_flags   as in a chat log

What was retrieved stays context: it becomes facts of the conversation, never a part of the answer to learn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nabi.conversations.records import Conversation, Fact, Message
from nabi.conversations.sources import fields
from nabi.conversations.sources.fields import Fields, RowError
from nabi.conversations.sources.json_rows import Made, read_rows
from nabi.conversations.sources.lines import read_lines
from nabi.conversations.sources.owners import owner_by_id, owner_of_unnamed
from nabi.conversations.sources.permission import permission
from nabi.conversations.sources.rows import Delivery, Refused, Row

TOP_K = 5
"""Items that become facts: what a search page shows first, and what a prompt has room for."""

MAX_VALUE_CHARS = 160
"""Characters of a value in a fact: one or two Korean sentences."""

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "name": "이름",
        "title": "이름",
        "category": "분류",
        "description": "설명",
        "summary": "설명",
        "chunk_text": "내용",
        "content": "내용",
        "text": "내용",
        "tags": "태그",
        "price": "가격",
        "url": "주소",
    }
)
"""What an item's usual fields are called in a fact, in this order; other labels are kept behind them."""

# What a search engine needs and no answer does.
_MACHINERY = re.compile(r"(?:^|_)(?:id|ids|score|scores|rank|distance|embedding|vector|index|hash)$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。…](?=\s|$)")


@dataclass(frozen=True)
class GoldenAnswers:
    """Answers that people wrote or corrected, by request id, and the rows of their file that cannot be used."""

    answers: Mapping[str, str]
    refused: list[Refused]


def read_search_log(path: Path, delivery: Delivery) -> Iterator[Row]:
    """Read a search log row by row; `delivery.golden` replaces answers, and such rows say so.

    Raises:
        DataError: the file cannot be opened.
    """
    return read_rows(path, delivery, _conversation, _owner)


def read_golden_answers(path: Path) -> GoldenAnswers:
    """Rows of {request_id, golden_answer}. Of two different answers to one request neither is taken.

    Raises:
        DataError: the file cannot be opened.
    """
    answers: dict[str, str] = {}
    bad: list[Refused] = []
    doubtful: set[str] = set()
    for line in read_lines(path):
        try:
            row = fields.parse(line)
            request_id, answer = _request_id(row), fields.needed_text(row, "golden_answer")
            if answers.setdefault(request_id, answer) != answer:
                doubtful.add(request_id)
                raise RowError("golden_answer", f"{request_id} has another golden answer already; neither is taken")
        except RowError as error:
            bad.append(fields.refused(line, error))
    return GoldenAnswers({known: answers[known] for known in answers if known not in doubtful}, bad)


def summary(value: str, max_chars: int = MAX_VALUE_CHARS) -> str:
    """The value on one line, cut after its last whole sentence that fits, or else between words."""
    line = " ".join(value.split())
    if len(line) <= max_chars:
        return line
    head = line[:max_chars]
    ends = [match.end() for match in _SENTENCE_END.finditer(head)]
    if ends and ends[-1] >= max_chars // 3:
        return head[: ends[-1]]
    words = head[: max_chars - 1].rpartition(" ")[0]
    return f"{words or head[: max_chars - 1]}…"


def _owner(row: Fields, delivery: Delivery) -> str:
    named = owner_by_id(row, delivery) or delivery.persona_id
    searching = [persona.id for persona in delivery.personas.values() if persona.source == "search"]
    return named or (searching[0] if len(searching) == 1 else owner_of_unnamed(delivery))


def _conversation(row: Fields, delivery: Delivery) -> Made:
    persona_id = _owner(row, delivery)
    request_id = _request_id(row)
    golden = delivery.golden.get(request_id)
    question = fields.needed_text(row, "user_query")
    answer = golden or fields.needed_text(row, "llm_response_content")
    occurred_at = fields.occurred_at(row)
    consent, basis = permission(row, persona_id, "search", delivery)
    conversation = Conversation(
        conversation_id=f"search/{request_id}",
        persona_id=persona_id,
        source="search",
        occurred_at=occurred_at,
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
        facts=_facts(row),
        user_key=fields.key_of_user(row, delivery.key),
        consent=consent,
        basis=basis,
        golden=golden is not None,
        kind=fields.name(row, "kind"),
        feedback=None if golden else fields.feedback(row),  # it was the reaction to the other answer
        adapter_version=None if golden else fields.identifier(row, "adapter_version"),
        style_tags=fields.tags(row, "style_tags"),
        safety_flags=fields.tags(row, "safety_flags"),
    )
    return Made(conversation)


def _request_id(row: Fields) -> str:
    request_id = fields.identifier(row, "request_id")
    if request_id is None:
        raise RowError("request_id", "the field is missing")
    if len(request_id) > fields.MAX_ID_CHARS - len("search/"):
        raise RowError("request_id", "the id is too long")
    return request_id


def _facts(row: Fields) -> tuple[Fact, ...]:
    items = fields.items(row, "retrieved_items")
    found = (fact_of_item(item, f"retrieved_items[{place}]") for place, item in enumerate(items))
    return tuple(fact for fact in found if fact)[:TOP_K]


def fact_of_item(item: Any, field: str) -> Fact:
    """An item in short: its usual fields under Korean labels, without what only a machine needs."""
    if isinstance(item, str):
        item = {"text": item}
    if isinstance(item, dict) and isinstance(item.get("metadata"), dict):
        item = {**item["metadata"], **{label: value for label, value in item.items() if label != "metadata"}}
    if not isinstance(item, dict):
        raise RowError(field, "an item is an object {label: value}")
    wanted = {label: value for label, value in item.items() if not _is_machinery(label, value)}
    read = {label: summary(value) for label, value in fields.fact(wanted, field).items()}
    fact: Fact = {}
    for label, value in sorted(read.items(), key=lambda pair: _place(pair[0])):
        known = LABELS.get(label.casefold(), label)
        if value and known not in fact and value not in fact.values():
            fact[known] = value
    return fact


def _is_machinery(label: str, value: Any) -> bool:
    return bool(_MACHINERY.search(label)) or isinstance(value, dict)


def _place(label: str) -> int:
    order = list(LABELS)
    return order.index(label.casefold()) if label.casefold() in order else len(order)
