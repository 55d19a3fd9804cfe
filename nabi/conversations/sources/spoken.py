"""Who speaks in a line of text: `김철수: 네, 좋습니다.`"""

from __future__ import annotations

import re

from nabi.conversations.sources.fields import RowError

# A name is one to four words without sentence signs; what begins with a digit or holds a clock is none.
_PREFIX = re.compile(
    r"\s*(?:[-–—•]\s*)?[\[(<]?(?P<name>[^\W\d_][\w.·'’-]*(?: [\w.·'’()-]+){0,3}?)[\])>]?"
    r"\s*[:：](?!//)(?!\d)\s*(?P<text>.*)",
    re.DOTALL,
)
_BRACKETED = re.compile(r"\s*(?:[-–—•]\s*)?\[(?P<name>[^\W\d_][^\]\n:：]{0,59})\]\s*(?P<text>.*)", re.DOTALL)

# Everything that repeats is bounded, or a line of a million signs would be searched a million times.
_VOICE = re.compile(r"<v(?:\.[^\s>.]{1,40}){0,9}[ \t]+(?P<name>[^\s>][^>\n]{0,79})>")
# What subtitle formats know; anything else between < and > was said, or is an unknown name.
_MARKUP = re.compile(
    r"</?(?:b|i|u|c|v|ruby|rt|lang|font)(?:[.\s][^<>\n]{0,200})?>|<\d[\d:.]{0,20}>|\{\\[^{}\n]{0,200}\}", re.IGNORECASE
)
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&lrm;": "", "&rlm;": ""}
_ENTITY = re.compile("|".join(_ENTITIES))

MAX_NAME_CHARS = 60


def split_speaker(line: str) -> tuple[str | None, str]:
    """The name a line begins with, and what is said; no name when it begins with none."""
    found = _PREFIX.fullmatch(line) or _BRACKETED.fullmatch(line)
    if found is None or len(found["name"]) > MAX_NAME_CHARS:
        return None, line.strip()
    return found["name"].strip(), found["text"].strip()


def split_voices(text: str) -> list[tuple[str | None, str]]:
    """The parts of a cue, each with its speaker: marked by voices (`<v 김철수>`) or by names before a colon.

    A line without a name belongs to the speaker of the line above it.
    """
    parts: list[tuple[str | None, str]] = []
    for line in text.split("\n"):
        for name, said in _voices(line):
            if name is None and parts:
                before, words = parts.pop()
                parts.append((before, f"{words} {said}".strip()))
            elif name is not None or said:
                parts.append((name, said))
    return parts


def _voices(line: str) -> list[tuple[str | None, str]]:
    marks = list(_VOICE.finditer(line))
    if not marks:
        return [split_speaker(plain(line))]
    ends = [*(mark.start() for mark in marks[1:]), len(line)]
    voices: list[tuple[str | None, str]] = []
    before = plain(line[: marks[0].start()])
    if before:
        voices.append((None, before))
    voices += [(plain(mark["name"]), plain(line[mark.end() : end])) for mark, end in zip(marks, ends, strict=True)]
    return voices


def plain(text: str) -> str:
    """The words without markup and entities."""
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], _MARKUP.sub("", text)).strip()


def hold_line_end(text: str) -> None:
    """A carriage return inside a line may hide another speaker's line."""
    if "\r" in text:
        raise RowError("text", "the line holds a bare carriage return; save the file with LF or CRLF line ends")
