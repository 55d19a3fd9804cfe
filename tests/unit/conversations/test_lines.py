from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nabi.conversations.sources.lines import MAX_LINE_BYTES, WIDE, read_lines
from nabi.errors import DataError

SENTENCES = ["떡볶이 먹고 싶어요", "해맑은분식에서 김밥 3,000원 어때요?", "네", "칠", '{"내용": "알레르기가 있어요"}']


def texts(path: Path) -> list[str | None]:
    return [line.text for line in read_lines(path)]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_korean_is_read_whatever_its_encoding(path: Path, encoding: str, line_end: str) -> None:
    write(path, line_end.join(SENTENCES).encode(encoding))
    assert texts(path) == SENTENCES


def test_blank_lines_are_left_out_and_counted(path: Path) -> None:
    write(path, b"\n{}\n  \n\n[]\n")
    assert [(line.number, line.text) for line in read_lines(path)] == [(2, "{}"), (5, "[]")]


def test_a_damaged_line_costs_only_itself(path: Path) -> None:
    whole = "떡볶이 먹고 싶어요".encode()
    write(path, b"\n".join([whole, whole[:10] + whole[11:], whole[:-1], whole]))
    assert texts(path) == ["떡볶이 먹고 싶어요", None, None, "떡볶이 먹고 싶어요"]
    assert "UTF-8" in list(read_lines(path))[1].problem


def test_a_line_cut_short_in_a_cp949_file_costs_only_itself(path: Path) -> None:
    write(path, "\n".join(SENTENCES).encode("cp949") + b"\n" + "떡볶이".encode("cp949")[:-1])
    assert texts(path) == [*SENTENCES, None]


def test_in_a_file_of_both_encodings_the_fewer_lines_are_refused(path: Path) -> None:
    write(path, "\n".join([*SENTENCES, *SENTENCES]).encode() + b"\n" + SENTENCES[0].encode("cp949"))
    assert texts(path) == [*SENTENCES, *SENTENCES, None]


def test_a_line_that_is_too_long_is_refused_and_the_next_one_read(path: Path) -> None:
    write(path, b"[]\n" + b"x" * (10 * MAX_LINE_BYTES) + b"\n{}\n" + b" " * (MAX_LINE_BYTES + 9) + b"{}\n[1]")
    assert texts(path) == ["[]", None, "{}", None, "[1]"]
    too_long = list(read_lines(path))[1]
    assert "longer than 1,048,576 bytes" in too_long.problem
    assert len(too_long.raw) <= MAX_LINE_BYTES + 1


@pytest.mark.parametrize("num_bytes", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_line_just_short_enough_is_read(path: Path, num_bytes: int, bom: bytes) -> None:
    write(path, bom + b"x" * (num_bytes - len(bom)) + b"\n{}")
    assert texts(path) == ["x" * (num_bytes - len(bom)), "{}"]


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_lines(tmp_path / "none.jsonl"))


@given(content=st.binary(max_size=400))
def test_any_bytes_give_each_line_once_and_never_a_replacement(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    assume(content[:2] not in WIDE)  # UTF-16 has tests of its own
    path = write(tmp_path_factory.getbasetemp() / "any.jsonl", content)
    lines = list(read_lines(path))
    assert len(lines) == sum(
        1 for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b"\r\n").strip()
    )
    for line in lines:
        if line.text is not None:
            assert line.text.encode("utf-8") == line.raw or line.text.encode("cp949") == line.raw


def test_damaged_utf8_is_never_taken_for_cp949(path: Path) -> None:
    """Random syllables with one byte lost: some of these lines are valid CP949, and wrong Korean."""
    chance = random.Random(20260701)
    num_valid_cp949 = 0
    for _ in range(600):
        whole = "".join(chr(chance.randrange(0xAC00, 0xD7A4)) for _ in range(chance.randrange(1, 12))).encode()
        place = chance.randrange(len(whole))
        damaged = whole[:place] + whole[place + 1 :]
        try:
            damaged.decode("cp949")
            num_valid_cp949 += 1
        except UnicodeDecodeError:
            pass
        write(path, damaged)
        assert texts(path) == [None]
    assert num_valid_cp949 > 10  # the test tests something
