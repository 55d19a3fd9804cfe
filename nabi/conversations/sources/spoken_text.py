"""Transcripts as plain text: `이름: 말`, one utterance a line, perhaps with a clock before it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from nabi.conversations.sources import fields
from nabi.conversations.sources.clock import seconds_of_clock
from nabi.conversations.sources.fields import RowError, refused
from nabi.conversations.sources.lines import Line
from nabi.conversations.sources.rows import Refused
from nabi.conversations.sources.spoken import hold_line_end, split_speaker
from nabi.conversations.sources.transcript import Segment

# [00:01:02] or (01:02) or 00:01:02 before the name, or after it: 김철수 (00:01:02): 네
_CLOCK_BEFORE = re.compile(
    r"\s*[\[(]?(?P<clock>(?:\d{1,3}:)?\d{1,2}:\d{2}(?:[.,]\d{1,6})?)[\])]?\s+(?P<rest>\S.*)", re.DOTALL
)
_CLOCK_BEHIND = re.compile(
    r"\s*(?P<name>[^\s:：\[(][^:：\[(]{0,59}?)\s{0,3}[\[(]?(?P<clock>(?:\d{1,3}:)?\d{1,2}:\d{2}(?:[.,]\d{1,6})?)[\])]?\s*[:：]\s*(?P<text>.*)",
    re.DOTALL,
)


def read_spoken_text(lines: Iterable[Line]) -> Iterator[Segment | Refused]:
    """The segments of a plain transcript. A line without a name, right below an utterance, goes on with it."""
    current: Segment | None = None
    last = 0
    for line in lines:
        part = _segment(line)
        goes_on = part is None and current is not None and line.number == last + 1
        last = line.number
        if goes_on and current is not None:
            current = _longer(current, line)
            continue
        if current is not None:
            yield current
        current = part if isinstance(part, Segment) else None
        if part is None:
            yield refused(line, RowError("speaker", "the line does not say who speaks; write 이름: before the words"))
        elif isinstance(part, Refused):
            yield part
    if current is not None:
        yield current


def _segment(line: Line) -> Segment | Refused | None:
    """What a line says and who says it; None when it names nobody."""
    try:
        if line.text is None:
            raise RowError("", line.problem)
        text = fields.text(line.text, "text")
        hold_line_end(text)
        clock, name, said = _parts(text)
        if name is None:
            return None
        if not said:
            raise RowError("text", "the utterance is empty")
        return Segment(line=line, speaker=name, text=said, start=seconds_of_clock(clock) if clock else None)
    except RowError as error:
        return refused(line, error)


def _parts(text: str) -> tuple[str | None, str | None, str]:
    """Clock, name and words."""
    behind = _CLOCK_BEHIND.fullmatch(text)
    if behind and split_speaker(f"{behind['name']}: -")[0]:
        return behind["clock"], behind["name"].strip(), behind["text"].strip()
    before = _CLOCK_BEFORE.fullmatch(text)
    name, said = split_speaker(before["rest"] if before else text)
    return (before["clock"] if before else None), name, said


def _longer(segment: Segment, line: Line) -> Segment:
    whole = f"{segment.line.text}\n{line.text}"
    longer = Line(segment.line.number, whole, "", whole.encode("utf-8", "backslashreplace"))
    return replace(segment, line=longer, text=f"{segment.text} {(line.text or '').strip()}")
