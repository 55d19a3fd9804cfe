"""Instruction sets: pairs written for training. One JSON object a line, in any of three shapes, also mixed:

    {"instruction", "input", "output"}      input may be missing or empty
    {"prompt", "completion"}                a prompt of a search ("질문: … 관련 정보: … 답변:") is taken apart again
    {"messages": [{"role", "content"}, …]}  as OpenAI's fine-tuning files have it, tool calls included

Whose row it is: `agent_type` (citizen_support is the persona citizen-support), `speaker_id` and `speaker_name` (the
persona that declares this speaker), `persona_id` or `character_id`, or the caller. One file may hold many personas.

Any row may carry `id` or `conversation_id` (missing: a hash of the content), `timestamp` (missing: the caller's, or
the day of the basis, or of the consent), `topic` or `kind`, `difficulty`, `tools`, `retrieved_items`, `user_id`,
`user_age`, `consent`, `feedback`, `style_tags` and `safety_flags`. Difficulty and tools are kept as style tags, e.g.
difficulty=easy and tool=calculator.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

from nabi.conversations.keys import user_key
from nabi.conversations.records import Basis, Consent, Conversation, Fact, Message
from nabi.conversations.sources import fields
from nabi.conversations.sources.fields import Fields, RowError
from nabi.conversations.sources.json_rows import Made, read_rows
from nabi.conversations.sources.openai_messages import Dialogue, read_messages
from nabi.conversations.sources.owners import owner
from nabi.conversations.sources.permission import permission
from nabi.conversations.sources.rows import Delivery, Row

SHAPES = {"instruction": "output", "prompt": "completion", "messages": "messages"}
"""What tells the shapes apart: the field that asks and the one that answers."""

KOREAN_DAY = timezone(timedelta(hours=9))
"""A basis is declared on a day, not at an hour: the day begins at its midnight in Korea, which has one zone."""

# The prompt of a search assistant, as `nabi datasets export` and the systems before it write it.
_QUESTION, _FACTS, _ANSWER = "질문:", "\n관련 정보:", "\n답변:"


def read_instructions(path: Path, delivery: Delivery) -> Iterator[Row]:
    """Read an instruction set row by row.

    Raises:
        DataError: the file cannot be opened.
    """
    return read_rows(path, delivery, _conversation, owner, _person)


def shape_of(row: Fields) -> str:
    """Which of `SHAPES` a row has.

    Raises:
        RowError: none of them, or two.
    """
    found = [asking for asking, answering in SHAPES.items() if asking in row or answering in row]
    if not found:
        raise RowError("", "the row has neither instruction and output, nor prompt and completion, nor messages")
    if len(found) > 1:
        raise RowError(found[1], f"the row has the fields of two shapes, {found[0]} and {found[1]}")
    return found[0]


def _conversation(row: Fields, delivery: Delivery) -> Made:
    persona_id = owner(row, delivery)
    dialogue = _READERS[shape_of(row)](row)
    consent, basis = permission(row, persona_id, "agents", delivery)
    facts = fields.facts(row) + dialogue.facts
    named = fields.identifier(row, "conversation_id") or fields.identifier(row, "id")
    said = [message.model_dump() for message in dialogue.messages]
    conversation = Conversation(
        conversation_id=named or fields.content_id("agents/sha-", persona_id, said, facts),
        persona_id=persona_id,
        source="agents",
        occurred_at=_occurred_at(row, delivery, consent, basis),
        messages=dialogue.messages,
        facts=facts,
        user_key=_person(row, delivery.key),
        consent=consent,
        basis=basis,
        kind=fields.name(row, "kind") or fields.name(row, "topic"),
        feedback=fields.feedback(row),
        adapter_version=fields.identifier(row, "adapter_version"),
        style_tags=fields.tags(row, "style_tags") + _notes(row, dialogue.tools),
        safety_flags=fields.tags(row, "safety_flags"),
    )
    return Made(conversation, fields.name(row, "speaker_name") or fields.identifier(row, "speaker_id"))


def _person(row: Fields, key: bytes) -> str | None:
    """The user who asked, or else the speaker whose words these are."""
    speaker = fields.identifier(row, "speaker_id") or fields.name(row, "speaker_name")
    return fields.key_of_user(row, key) or (user_key(speaker, key) if speaker else None)


def _instruction(row: Fields) -> Dialogue:
    instruction, context = fields.needed_text(row, "instruction"), fields.optional_text(row, "input")
    answer = Message(role="assistant", content=fields.needed_text(row, "output"))
    if _is_of_speaker(row) and context:
        # "김철수의 말투로 답변하세요" says who answers, not what was asked: the persona's own prompt takes its place.
        asked = (Message(role="system", content=instruction), Message(role="user", content=context))
        return Dialogue((*asked, answer))
    question = f"{instruction.rstrip()}\n\n{context}" if context else instruction
    return Dialogue((Message(role="user", content=question), answer))


def _is_of_speaker(row: Fields) -> bool:
    return row.get("speaker_id") is not None or row.get("speaker_name") is not None


def _prompt(row: Fields) -> Dialogue:
    prompt, completion = fields.needed_text(row, "prompt"), fields.needed_text(row, "completion")
    answer = Message(role="assistant", content=completion)
    question, lines = _taken_apart(prompt)
    found = (_fact_of_line(line) for line in lines)
    return Dialogue((Message(role="user", content=question), answer), tuple(fact for fact in found if fact))


def _taken_apart(prompt: str) -> tuple[str, list[str]]:
    """The question and the lines of context of a search prompt; any other prompt is a question as it stands."""
    start, end = prompt.find(_FACTS), prompt.rfind(_ANSWER)
    asked = prompt[:start].strip().removeprefix(_QUESTION).strip()
    is_search = prompt.lstrip().startswith(_QUESTION) and 0 < start < end and not prompt[end + len(_ANSWER) :].strip()
    if not is_search or not asked:
        return prompt, []
    return asked, prompt[start + len(_FACTS) : end].split("\n")


def _fact_of_line(line: str) -> Fact:
    """`- 이름: 모아노트 | 설명: …` as it is rendered; any other line is a fact without labels of its own."""
    line = line.strip().removeprefix("- ").strip()
    if line in ("", "없음"):
        return {}
    pairs = [part.partition(": ") for part in line.split(" | ")]
    labels = [label.strip() for label, _sign, _value in pairs]
    if all(label and sign and value.strip() for label, sign, value in pairs) and len(set(labels)) == len(pairs):
        return {label.strip(): value.strip() for label, _sign, value in pairs}
    return {"내용": line}


def _messages(row: Fields) -> Dialogue:
    return read_messages(fields.items(row, "messages"))


_READERS = {"instruction": _instruction, "prompt": _prompt, "messages": _messages}


def _occurred_at(row: Fields, delivery: Delivery, consent: Consent, basis: Basis | None) -> datetime:
    told = fields.moment(row.get("timestamp"), "timestamp") or delivery.happened_at
    if told is not None:
        return told
    if basis is not None:
        return datetime.combine(basis.on, time(), KOREAN_DAY).astimezone(UTC)
    if consent.given_at is not None:
        return consent.given_at
    raise RowError("timestamp", "the field is missing, and neither the caller nor a consent's date stands for it")


def _notes(row: Fields, tools: tuple[str, ...]) -> tuple[str, ...]:
    """What a dataset's card counts, as style tags."""
    difficulty = fields.name(row, "difficulty")
    named: list[Any] = [*fields.tags(row, "tools"), *tools]
    notes = [f"difficulty={difficulty}"] if difficulty else []
    return (*notes, *(f"tool={tool}" for tool in dict.fromkeys(named)))
