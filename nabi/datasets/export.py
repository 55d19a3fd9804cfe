"""Samples in the shapes that other trainers read, and that `nabi ingest --source agents` reads back.

instruction   {"instruction", "input", "output"} and whose it is: speaker_id and speaker_name of a meeting's speaker
              (requirement B3), agent_type of an agent (E1), persona_id of anybody else
prompt        {"prompt", "completion"}: question and retrieved items before, the answer behind (D2)
messages      {"messages"}: as OpenAI's fine-tuning files have it, with the persona's system prompt
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from nabi.conversations.records import Fact, Message
from nabi.datasets.samples import FACTS_HEADING, Sample, chat_messages, render_facts
from nabi.errors import ConfigError
from nabi.personas.model import Persona

Row = dict[str, Any]


def rows_in_shape(samples: Iterable[Sample], persona: Persona, shape: str) -> Iterator[Row]:
    """The samples as rows, one a sample, in their order.

    Raises:
        ConfigError: no such shape.
    """
    if shape not in SHAPES:
        raise ConfigError(f"there is no shape {shape!r}.", where="shape", fix=f"Use {', '.join(SHAPES)}.")
    make = SHAPES[shape]
    return (make(sample, persona) for sample in samples)


def write_export(samples: Sequence[Sample], persona: Persona, shape: str, *, folder: Path, moment: datetime) -> Path:
    """Writes the rows as JSON lines into `folder`; the file is named by speaker and time, and never overwritten.

    Raises:
        ConfigError: no such shape, or the file is there already.
    """
    rows = rows_in_shape(samples, persona, shape)
    path = folder / export_name(persona, moment)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except FileExistsError as error:
        raise ConfigError("the file is there already.", where=str(path), fix="Choose another folder.") from error
    return path


def export_name(persona: Persona, moment: datetime) -> str:
    """`speaker_001_dataset_20250124_143000.jsonl`, in the persona's time zone."""
    local = moment.astimezone(ZoneInfo(persona.limits.timezone))
    return f"{_plain_name(_speaker_id(persona))}_dataset_{local:%Y%m%d_%H%M%S}.jsonl"


def _instruction(sample: Sample, persona: Persona) -> Row:
    asked, answer = _asked(sample), sample.answer
    if persona.source == "meeting":
        who = {"speaker_id": _speaker_id(persona), "speaker_name": persona.name}
        return {"instruction": f"{persona.name}의 말투로 답변하세요", "input": asked, "output": answer, **who}
    whose = {"agent_type": persona.id.replace("-", "_")} if persona.source == "agents" else {"persona_id": persona.id}
    context = _lines(sample.facts) if sample.facts else ""
    return {"instruction": asked, "input": context, "output": answer, **whose}


def _prompt(sample: Sample, persona: Persona) -> Row:
    prompt = f"질문: {_asked(sample)}\n\n관련 정보:\n{_lines(sample.facts)}\n\n답변: "
    return {"prompt": prompt, "completion": sample.answer, "persona_id": persona.id}


def _messages(sample: Sample, persona: Persona) -> Row:
    facts = sample.facts if persona.uses_facts else None
    return {"messages": chat_messages(persona.system_prompt, sample.messages, facts), "persona_id": persona.id}


SHAPES = MappingProxyType({"instruction": _instruction, "prompt": _prompt, "messages": _messages})
"""How a sample is written in each shape."""

_SPEAKERS = {"user": "사용자", "assistant": "답변"}


def _asked(sample: Sample) -> str:
    """The question, below what was said before it: pairs have no room for turns."""
    earlier = [message for message in sample.messages[:-2] if message.role != "system"]
    if not earlier:
        return sample.question
    return "\n".join(["이전 대화:", *map(_line_of, earlier), "", sample.question])


def _line_of(message: Message) -> str:
    return f"{_SPEAKERS[message.role]}: {' '.join(message.content.split())}"


def _lines(facts: Sequence[Fact]) -> str:
    return render_facts(facts).removeprefix(FACTS_HEADING).strip()


def _speaker_id(persona: Persona) -> str:
    return (persona.speaker.id if persona.speaker else None) or persona.id


def _plain_name(name: str) -> str:
    """A speaker's id as a file name: it comes from transcripts, and may hold anything."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in name)[:100]
