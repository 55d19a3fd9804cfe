"""One reader for each source, and what it takes a file for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nabi.conversations.sources.chat import read_character_log, read_chat_log
from nabi.conversations.sources.documents import starts_an_array
from nabi.conversations.sources.fields import or_none, parse
from nabi.conversations.sources.instructions import read_instructions, shape_of
from nabi.conversations.sources.lines import read_lines
from nabi.conversations.sources.meeting import meeting_format, read_meeting
from nabi.conversations.sources.rows import Reader
from nabi.conversations.sources.search import read_search_log

SHAPES: Mapping[str, str] = MappingProxyType(
    {
        "instruction": "instruction, input, output",
        "prompt": "prompt, completion",
        "messages": "OpenAI chat messages",
    }
)


@dataclass(frozen=True)
class Source:
    """A kind of system that conversations come from.

    Args:
        read: reads a file of it.
        recognise: says in a few words what a file is taken for.
    """

    read: Reader
    recognise: Callable[[Path], str]


def _rows(path: Path) -> str:
    return "JSON array of rows" if starts_an_array(path) else "JSON lines"


def _instructions(path: Path) -> str:
    """The shape of the first row that has one; shapes may be mixed."""
    if starts_an_array(path):
        return "JSON array of instruction rows"
    for line in read_lines(path):
        row = or_none(parse, line)
        shape = or_none(shape_of, row) if row is not None else None
        if shape is not None:
            return f"JSON lines of {SHAPES[shape]}"
    return "JSON lines"


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "chat": Source(read_chat_log, _rows),
        "character": Source(read_character_log, _rows),
        "meeting": Source(read_meeting, meeting_format),
        "search": Source(read_search_log, _rows),
        "agents": Source(read_instructions, _instructions),
    }
)
"""Every source by its name; a new one is one more entry."""
