"""Subtitles with speakers, SubRip (SRT) and WebVTT. Cues are told by their time lines: numbers may be wrong or missing.

Format: https://www.w3.org/TR/webvtt1/; SubRip has no standard, only blocks of number, times and text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nabi.conversations.sources import fields
from nabi.conversations.sources.clock import hold_order, seconds
from nabi.conversations.sources.fields import RowError, refused
from nabi.conversations.sources.lines import Line
from nabi.conversations.sources.rows import Refused
from nabi.conversations.sources.spoken import hold_line_end, split_voices
from nabi.conversations.sources.transcript import Segment

TIMES = re.compile(r"\s*(?P<start>[\d:.,]+)\s*-->\s*(?P<end>[\d:.,]+)(?:\s.*)?")
"""The line that begins a cue; WebVTT has settings behind the times."""

# Blocks of WebVTT that are not spoken.
_ASIDE = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s.*)?|WEBVTT(?:\s.*)?")


@dataclass
class _Cue:
    """A time line and the lines below it."""

    times: Line
    said: list[Line] = field(default_factory=list)

    @property
    def line(self) -> Line:
        whole = "\n".join(line.text or "" for line in (self.times, *self.said))
        return Line(self.times.number, whole, "", whole.encode("utf-8", "backslashreplace"))


def read_subtitles(lines: Iterable[Line]) -> Iterator[Segment | Refused]:
    """The segments of a subtitle file; blank lines are known by the numbers that are missing in `lines`."""
    for block in _blocks(lines):
        if isinstance(block, _Cue):
            yield from _segments(block)
        elif block.text is None:
            yield refused(block, RowError("", block.problem))
        else:
            yield refused(block, RowError("", "the text belongs to no cue: there is no time line above it"))


def _blocks(lines: Iterable[Line]) -> Iterator[_Cue | Line]:
    """Cues, and lines that belong to none."""
    cue: _Cue | None = None
    aside = False
    before = 0
    for line, following in _pairs(lines):
        is_after_blank = line.number > before + 1
        before = line.number
        if line.text is None or "-->" in line.text:
            if cue is not None:
                yield cue
            cue, aside = (_Cue(line), False) if line.text is not None else (None, aside)
            if line.text is None:
                yield line
        elif _is_identifier(line, following, is_after_blank or cue is None):
            continue
        elif is_after_blank or cue is None:
            if cue is not None:
                yield cue
            cue = None
            aside = bool(_ASIDE.fullmatch(line.text)) or (aside and not is_after_blank)
            if not aside:
                yield line
        else:
            cue.said.append(line)
    if cue is not None:
        yield cue


def _pairs(lines: Iterable[Line]) -> Iterator[tuple[Line, Line | None]]:
    """Each line with the one that follows it."""
    held: Line | None = None
    for line in lines:
        if held is not None:
            yield held, line
        held = line
    if held is not None:
        yield held, None


def _is_identifier(line: Line, following: Line | None, may_be_name: bool) -> bool:
    """The number of a cue, or at the start of a block its name: what stands right before a time line."""
    if following is None or following.text is None or "-->" not in following.text or line.text is None:
        return False
    return line.text.strip().isdecimal() or (may_be_name and following.number == line.number + 1)


def _segments(cue: _Cue) -> Iterator[Segment | Refused]:
    try:
        start = _start(cue.times)
        parts = split_voices("\n".join(_said(line) for line in cue.said))
        if not parts:
            raise RowError("text", "the cue is empty")
    except RowError as error:
        yield refused(cue.line, error)
        return
    for name, said in parts:
        try:
            yield _segment(cue, start, name, said)
        except RowError as error:
            yield refused(cue.line, error)


def _segment(cue: _Cue, start: float | None, name: str | None, said: str) -> Segment:
    if name is None:
        raise RowError("speaker", "the cue does not say who speaks; write 이름: before the words")
    if not said:
        raise RowError("text", "the cue is empty")
    # Read once more, for letters may have come together where a mark stood between them.
    speaker, text = fields.text(name, "speaker"), fields.text(said, "text")
    whole = f"{speaker}: {text}"
    return Segment(Line(cue.times.number, whole, "", whole.encode()), speaker, text, start)


def _said(line: Line) -> str:
    text = fields.text(line.text, "text")
    hold_line_end(text)
    return text


def _start(times: Line) -> float | None:
    found = TIMES.fullmatch(times.text or "")
    if found is None:
        raise RowError("start", "the times cannot be read; write them as 00:00:01,000 --> 00:00:02,500")
    start, end = seconds(found["start"], "start"), seconds(found["end"], "end")
    hold_order(start, end)
    return start
