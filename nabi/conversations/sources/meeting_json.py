"""Meetings as JSON: `{meeting_id, title, started_at, participants, segments}`, or a bare list of segments.

One file may hold several meetings, one after the other or in a list, and bare segments one a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nabi.conversations.records import Consent
from nabi.conversations.sources import fields
from nabi.conversations.sources.clock import hold_order, seconds
from nabi.conversations.sources.documents import BrokenJson, Document, JsonScanner
from nabi.conversations.sources.fields import Fields, RowError, parse, refused
from nabi.conversations.sources.lines import Line
from nabi.conversations.sources.rows import NO_PERMISSION, Refused
from nabi.conversations.sources.transcript import Meeting, Participant, Segment

MAX_SPEAKER_CHARS = 120
MAX_MEETING_ID_CHARS = 160


@dataclass
class _Found:
    """What stands in one JSON object: a meeting's segments, and its other fields; or a bare segment."""

    header: dict[str, Line] = field(default_factory=dict)
    segments: list[Line] | None = None
    whole: Line | None = None
    doubled: str | None = None
    is_broken: bool = False


def meetings_in(document: Document, name: str, started_at: datetime | None) -> Iterator[Meeting]:
    """The meetings of a document; bare segments, wherever they stand, are one meeting.

    Args:
        name: the id of a meeting that has none.
        started_at: of a meeting that does not say.
    """
    if document.text is None:
        lines = [Line(1, None, document.problem, document.raw)]
        yield Meeting(name, started_at, [_unreadable(line) for line in lines])
        return
    bare: list[Segment | Refused] = []
    num_meetings = 0
    for found in _objects(JsonScanner(document.text)):
        if isinstance(found, Line):
            bare.append(_segment(found))
        else:
            num_meetings += 1
            own_name = name if num_meetings == 1 else f"{name}-{num_meetings}"
            yield _meeting(found, own_name, started_at)
    if bare:
        yield Meeting(name if num_meetings == 0 else f"{name}-segments", started_at, bare)


def _objects(scanner: JsonScanner) -> Iterator[_Found | Line]:
    """Meetings, and lines that are bare segments or nothing at all."""
    try:
        while scanner.peek():
            members = scanner.array() if scanner.peek() == "[" else iter([None])
            for _ in members:
                yield from _object(scanner)
    except BrokenJson as broken:
        yield scanner.rest(broken)


def _object(scanner: JsonScanner) -> Iterator[_Found | Line]:
    """The next value; a meeting that breaks off is given up to there."""
    start = scanner.standing()
    if scanner.peek() != "{":
        yield scanner.value()
        return
    found = _Found()
    try:
        for key in scanner.object():
            if key in found.header or (key == "segments" and found.segments is not None):
                found.doubled = key
            if key == "segments" and scanner.peek() == "[":
                found.segments = [] if found.segments is None else found.segments
                for _ in scanner.array():
                    found.segments.append(scanner.value())
            else:
                found.header[key] = scanner.value()
    except BrokenJson:
        if found.segments is None:
            scanner.come_back(start)
            raise
        found.is_broken = True
        yield found
        raise
    if found.segments is None and "segments" not in found.header:
        scanner.come_back(start)
        yield scanner.value()
    else:
        yield found


def _meeting(found: _Found, name: str, started_at: datetime | None) -> Meeting:
    segments = [_segment(line) for line in found.segments or []]
    try:
        header = _header(found)
        meeting_id = fields.identifier(header, "meeting_id") or name
        fields.short(meeting_id, "meeting_id", MAX_MEETING_ID_CHARS)
        people = fields.items(header, "participants")
        return Meeting(
            meeting_id=meeting_id,
            started_at=fields.moment(header.get("started_at"), "started_at") or started_at,
            parts=segments,
            participants=[_participant(person, f"participants[{place}]") for place, person in enumerate(people)],
            carries_consent=any(isinstance(p, dict) and p.get("consent") is not None for p in people),
        )
    except RowError as error:
        return Meeting(name, started_at, segments, problem=error)


def _header(found: _Found) -> dict[str, Any]:
    if found.doubled:
        raise RowError(found.doubled, "the field is given twice")
    if found.segments is None:
        raise RowError("segments", "the field is no list")
    if found.is_broken and "participants" not in found.header:
        # They may have said no further down, so that not even a basis can stand for them.
        raise RowError("participants", "the file breaks off before it says who agreed", NO_PERMISSION)
    header: dict[str, Any] = {}
    for key, line in found.header.items():
        if line.text is None:
            raise RowError(key, line.problem)
        header.update(parse(Line(line.number, f"{{{json.dumps(key)}: {line.text}}}", "", line.raw)))
    return header


def _participant(person: Any, field: str) -> Participant:
    if not isinstance(person, dict):
        raise RowError(field, 'a participant is an object {"speaker_id", "name", "consent"}')
    name = person.get("name")
    participant = Participant(
        speaker_id=fields.identifier(person, "speaker_id"),
        name=None if name is None else fields.short(name, f"{field}.name", MAX_SPEAKER_CHARS),
        consent=_consent(person),
    )
    if not participant.called:
        raise RowError(field, "a participant has a speaker_id or a name")
    return participant


def _consent(person: Fields) -> Consent | None:
    return None if person.get("consent") is None else fields.consent(person)


def _segment(line: Line) -> Segment | Refused:
    try:
        row = parse(line)
        start, end = seconds(row.get("start"), "start"), seconds(row.get("end"), "end")
        hold_order(start, end)
        return Segment(line=line, speaker=_speaker(row), text=fields.needed_text(row, "text"), start=start)
    except RowError as error:
        return refused(line, error)


def _speaker(row: Fields) -> str:
    value = next((row[name] for name in ("speaker", "speaker_id", "speaker_name") if row.get(name) is not None), None)
    if value is None:
        raise RowError("speaker", "the segment does not say who speaks")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return fields.short(value, "speaker", MAX_SPEAKER_CHARS)


def _unreadable(line: Line) -> Refused:
    return refused(line, RowError("", line.problem))
