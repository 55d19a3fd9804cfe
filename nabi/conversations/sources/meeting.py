"""Meeting transcripts, whatever wrote them: recognised by what they begin with.

    JSON        {"meeting_id", "title", "started_at", "participants": [{"speaker_id", "name", "consent"}],
                "segments": [{"speaker", "start", "end", "text"}]}, or a bare list of segments
    WebVTT      begins with WEBVTT; speakers as <v 김철수> or 김철수:
    SubRip      time lines (00:00:01,000 --> 00:00:02,500); speakers as 김철수:
    plain text  김철수: 네, 좋습니다.

Subtitles and plain text carry neither consent nor time: the persona's basis stands for the one, `started_at` of the
caller or a time in the file's name (2026-06-30_1400.srt, Korean time) for the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from nabi.conversations.sources.clock import LOCAL_ZONE, moment_in_name
from nabi.conversations.sources.documents import MAX_DOCUMENT_BYTES, read_document
from nabi.conversations.sources.lines import read_lines
from nabi.conversations.sources.meeting_json import meetings_in
from nabi.conversations.sources.rows import Delivery, Row
from nabi.conversations.sources.spoken_text import read_spoken_text
from nabi.conversations.sources.subtitles import TIMES, read_subtitles
from nabi.conversations.sources.transcript import Meeting, rows_of

JSON, WEBVTT, SUBRIP, TEXT = "JSON transcript", "WebVTT subtitles", "SubRip subtitles", "plain text transcript"

NUM_LINES_LOOKED_AT = 50
"""A subtitle file shows its first time line well before; a plain transcript never does."""


def meeting_format(path: Path) -> str:
    """One of `JSON`, `WEBVTT`, `SUBRIP`, `TEXT`, by what stands first.

    Raises:
        DataError: the file cannot be opened.
    """
    for place, line in enumerate(read_lines(path)):
        text = (line.text or "").lstrip()
        if place == 0 and (line.text is None or re.match(r"\{|\[\s*(?:[{\]]|$)", text)):
            # A first line that is too long for a line is the whole of a compact document.
            return JSON if line.text is not None or line.raw.lstrip()[:1] in (b"{", b"[") else _by_name(path)
        if place == 0 and re.match(r"WEBVTT(?:\s|$)", text):
            return WEBVTT
        if TIMES.fullmatch(text):
            return SUBRIP
        if place == NUM_LINES_LOOKED_AT:
            break
    return _by_name(path)


def read_meeting(path: Path, delivery: Delivery) -> Iterator[Row]:
    """Read a transcript utterance by utterance.

    Raises:
        DataError: the file cannot be opened.
    """
    for meeting in _meetings(path, delivery):
        yield from rows_of(meeting, delivery)


def _meetings(path: Path, delivery: Delivery) -> Iterator[Meeting]:
    started_at = delivery.happened_at or moment_in_name(path.stem)
    name = _name(path, started_at)
    found = meeting_format(path)
    if found == JSON or path.stat().st_size > MAX_DOCUMENT_BYTES:
        yield from meetings_in(read_document(path), name, started_at)
        return
    read = read_spoken_text if found == TEXT else read_subtitles
    yield Meeting(name, started_at, list(read(read_lines(path))))


def _by_name(path: Path) -> str:
    return {".json": JSON, ".jsonl": JSON, ".vtt": WEBVTT, ".srt": SUBRIP}.get(path.suffix.lower(), TEXT)


def _name(path: Path, started_at: datetime | None) -> str:
    """The id of a meeting without one: the file's name, and the time unless that is in it."""
    stem = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", path.stem)).strip("-")[:100] or "meeting"
    if started_at is None or moment_in_name(path.stem) == started_at:
        return stem
    return f"{stem}-{started_at.astimezone(LOCAL_ZONE):%Y%m%dT%H%M}"
