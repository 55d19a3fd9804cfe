"""What holds for every reader: no bytes stop it, every row comes out once, no wrong character comes through."""

from __future__ import annotations

import json
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_examples import examples

from nabi.conversations.records import Basis
from nabi.conversations.sources.lines import MAX_LINE_BYTES, read_lines
from nabi.conversations.sources.registry import SOURCES
from nabi.conversations.sources.rows import Accepted, Delivery, Refused, Row
from nabi.personas.model import Persona, Speaker

KEY = b"k" * 32
NAMES = ("이영희", "김철수", "박민수")
PERSONAS = {
    f"p{number}": Persona(
        id=f"p{number}",
        name=name,
        system_prompt="말",
        source=source,
        speaker=Speaker(names=(name,)),
        basis=tuple(Basis(source=s, by="a", on=date(2026, 6, 1), why="b") for s in ("meeting", "search", "agents")),
    )
    for number, (name, source) in enumerate(zip(NAMES, ("agents", "search", "meeting"), strict=True))
}
FILES = [
    ("chat", "a.jsonl"),
    ("character", "a.json"),
    ("search", "a.jsonl"),
    ("search", "a.json"),
    ("agents", "a.jsonl"),
    ("agents", "a.json"),
    ("meeting", "2026-06-30.json"),
    ("meeting", "2026-06-30.srt"),
    ("meeting", "2026-06-30.vtt"),
    ("meeting", "2026-06-30.txt"),
]
EACH = pytest.mark.parametrize(("source", "name"), FILES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


def read(folder: Path, source: str, name: str, content: bytes) -> list[Row]:
    path = folder / name
    path.write_bytes(content)
    SOURCES[source].recognise(path)
    return list(SOURCES[source].read(path, Delivery(KEY, personas=PERSONAS)))


def hold_sane(rows: list[Row]) -> None:
    """Whatever was read may be printed, stored and sent."""
    for row in rows:
        if isinstance(row, Refused):
            assert row.reason
            shown = row.field + row.reason + row.excerpt + (row.speaker or "")
            shown.encode()
            assert "\0" not in shown
        else:
            said = row.conversation.model_dump_json()
            said.encode()
            assert unicodedata.is_normalized("NFC", "".join(m.content for m in row.conversation.messages))
            assert "\ufffd" not in said


# Pieces of all formats, so that random files come near to valid ones.
PIECES = [
    *(b'{ } [ ] , : " \\ \n \r\n \n\n'.split(b" ")),
    "이영희: 네\n".encode(),
    "<v 김철수>좋아요</v>\n".encode(),
    b"WEBVTT\n\n",
    b"00:00:01,000 --> 00:00:02,000\n",
    b"NOTE x\n",
    b"12\n",
    b"[00:01] ",
    b'"segments": [',
    '{"speaker": "이영희", "text": "네", "start": 1}'.encode(),
    b'{"meeting_id": "m", "started_at": "2026-06-30T14:00:00+09:00", "segments": [',
    b'{"instruction": "a", "output": "b", "speaker_name": "',
    "이영희".encode(),
    "이영희".encode()[:-1],
    "김철수: 좋아요".encode("cp949"),
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b"NaN",
    b"\xed\xa0\x80",
]
CONTENT = st.binary(max_size=200) | st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=25).map(b"".join)


@EACH
@examples(60)
@given(content=CONTENT)
def test_no_bytes_stop_a_reader(folder: Path, source: str, name: str, content: bytes) -> None:
    hold_sane(read(folder, source, name, content))


ROWS: dict[str, dict[str, Any]] = {
    "chat": {
        "persona_id": "p0",
        "timestamp": "2026-06-30T09:00:00+09:00",
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    },
    "search": {
        "request_id": "r1",
        "timestamp": "2026-06-30T09:00:00+09:00",
        "user_query": "회의록",
        "retrieved_items": [{"name": "모아노트"}],
        "llm_response_content": "모아노트",
    },
    "agents": {"instruction": "a", "input": "b", "output": "c", "agent_type": "p0"},
    "meeting": {
        "meeting_id": "m",
        "started_at": "2026-06-30T14:00:00+09:00",
        "participants": [{"speaker_id": "s1", "name": "이영희", "consent": True}],
        "segments": [{"speaker": "김철수", "text": "a"}, {"speaker": "이영희", "start": 1, "end": 2, "text": "b"}],
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({field for row in ROWS.values() for field in row} | {"consent", "user_id", "tools", "prompt", "topic"})


@pytest.mark.parametrize("source", list(ROWS))
@examples(60)
@given(changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3), ascii_only=st.booleans())
def test_any_values_are_accepted_or_refused_with_a_reason(
    folder: Path, source: str, changes: dict[str, Any], ascii_only: bool
) -> None:
    line = json.dumps(ROWS[source] | changes, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    rows = read(folder, source, "2026-06-30.jsonl", line)
    hold_sane(rows)
    if source != "meeting":
        assert len(rows) == 1


WORDS = st.text(st.sampled_from("가나다라마바사 aB1.?!"), min_size=1, max_size=12).map(str.strip).filter(bool)
TALK = st.lists(st.tuples(st.sampled_from(NAMES), WORDS), max_size=12)


def as_json(talk: list[tuple[str, str]]) -> str:
    return json.dumps([{"speaker": who, "start": n, "text": text} for n, (who, text) in enumerate(talk)])


def as_srt(talk: list[tuple[str, str]]) -> str:
    cues = (f"{n}\n00:{n:02d}:00,000 --> 00:{n:02d}:30,000\n{who}: {text}\n" for n, (who, text) in enumerate(talk))
    return "\n".join(cues)


def as_vtt(talk: list[tuple[str, str]]) -> str:
    cues = (f"{n:02d}:00.000 --> {n:02d}:30.000\n<v {who}>{text}</v>\n" for n, (who, text) in enumerate(talk))
    return "WEBVTT\n\n" + "\n".join(cues)


def as_text(talk: list[tuple[str, str]]) -> str:
    return "\n\n".join(f"{who}: {text}" for who, text in talk)


@pytest.mark.parametrize(
    ("write", "name"),
    [(as_json, "2026-06-30.json"), (as_srt, "2026-06-30.srt"), (as_vtt, "2026-06-30.vtt"), (as_text, "2026-06-30.txt")],
)
@examples(50)
@given(talk=TALK)
def test_each_utterance_comes_out_exactly_once_and_by_its_speaker(
    folder: Path, write: Any, name: str, talk: list[tuple[str, str]]
) -> None:
    expected: list[tuple[str, str]] = []
    for who, text in talk:
        if expected and expected[-1][0] == who:
            expected[-1] = (who, f"{expected[-1][1]} {text}")
        else:
            expected.append((who, text))
    rows = read(folder, "meeting", name, write(talk).encode())
    assert [row.speaker for row in rows] == [who for who, _text in expected]
    for row, (who, text) in zip(rows, expected, strict=True):
        if isinstance(row, Accepted):
            assert row.conversation.persona_id == f"p{NAMES.index(who)}"
            assert row.conversation.messages[-1].content == " ".join(text.split("\n"))
    assert sum(isinstance(row, Refused) for row in rows) == min(1, len(expected))  # the first answers nobody


@given(lines=st.lists(st.sampled_from(["row", "broken", "blank"]), max_size=30))
@examples(40)
def test_each_row_of_a_set_comes_out_exactly_once_with_its_line(folder: Path, lines: list[str]) -> None:
    written = {"row": json.dumps(ROWS["agents"]), "broken": "{", "blank": " "}
    rows = read(folder, "agents", "a.jsonl", "\n".join(written[kind] for kind in lines).encode())
    assert [(row.line, isinstance(row, Accepted)) for row in rows] == [
        (number, kind == "row") for number, kind in enumerate(lines, 1) if kind != "blank"
    ]


@pytest.mark.parametrize(("write", "name"), [(as_json, "2026-06-30.json"), (as_srt, "2026-06-30.srt")])
@examples(60)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_one_wrong_byte_changes_one_utterance_at_most_and_whose_the_others_are_never(
    folder: Path, write: Any, name: str, place: int, byte: int
) -> None:
    talk = [("이영희", "볼까요"), ("김철수", "네"), ("박민수", "저도요"), ("이영희", "좋아요"), ("김철수", "끝")]
    owners = {text: f"p{NAMES.index(who)}" for who, text in talk}
    content = bytearray(write(talk).encode())
    content[place % len(content)] = byte
    rows = read(folder, "meeting", name, bytes(content))
    hold_sane(rows)
    answers = [row.conversation for row in rows if isinstance(row, Accepted)]
    changed = [c for c in answers if owners.get(c.messages[-1].content) != c.persona_id]
    assert len(changed) <= 1


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@given(lines=st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028")), max_size=8))
@examples(40)
def test_utf16_is_read_to_the_character(folder: Path, encoding: str, lines: list[str]) -> None:
    path = folder / "wide.txt"
    path.write_bytes(("\ufeff" + "\n".join(lines)).encode(encoding))
    expected = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    assert [(line.number, line.text) for line in read_lines(path)] == expected


def test_a_utf16_line_that_is_too_long_or_damaged_costs_only_itself(folder: Path) -> None:
    path = folder / "wide.txt"
    lines = ["a", "갊" * MAX_LINE_BYTES, "b", "\ud800", "c"]
    path.write_bytes(("\ufeff" + "\r\n".join(lines)).encode("utf-16-le", "surrogatepass"))
    assert [line.text for line in read_lines(path)] == ["a", None, "b", None, "c"]
    path.write_bytes("\ufeffab".encode("utf-16-le")[:-1])
    [cut] = read_lines(path)
    assert "no valid UTF-16" in cut.problem
