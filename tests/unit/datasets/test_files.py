"""JSON lines there and back, and folders that are replaced as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nabi.conversations.records import Conversation, Message
from nabi.datasets.files import read_samples, recover_folder, replace_folder, write_lines
from nabi.datasets.samples import Sample, sample_from
from nabi.errors import DataError

START = datetime(2026, 7, 1, tzinfo=UTC)


def sample(number: int, answer: str = "김밥 어때요?") -> Sample:
    return sample_from(
        Conversation(
            conversation_id=f"c-{number}",
            persona_id="p",
            source="chat",
            occurred_at=START + timedelta(minutes=number),
            messages=(Message(role="user", content="뭐 먹지?"), Message(role="assistant", content=answer)),
            facts=({"나": "1", "가": "2"},),
        )
    )


def test_samples_come_back_as_they_were_oldest_first(tmp_path: Path) -> None:
    samples = [sample(2), sample(1, '줄\n바꿈\u2028과 \u0085 따옴표 " 와 😊')]
    (tmp_path / "s.jsonl").write_bytes(write_lines(samples))
    assert read_samples(tmp_path / "s.jsonl") == samples[::-1]


def test_lines_are_readable_and_keep_the_order_of_labels() -> None:
    text = write_lines([sample(1)]).decode()
    assert "김밥 어때요?" in text
    assert text.index('"나"') < text.index('"가"')
    assert text.count("\n") == 1
    assert "\r" not in text


def test_bytes_do_not_depend_on_the_order_of_arrival() -> None:
    samples = [sample(n) for n in range(5)]
    assert write_lines(samples) == write_lines(reversed(samples))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"{}\n", "line 1: is no sample: sample_id"),
        (b"not json\n", "line 1: is no sample"),
        ("가".encode("cp949"), "is not UTF-8"),
    ],
)
def test_what_is_no_sample_is_told_with_its_line(tmp_path: Path, content: bytes, rule: str) -> None:
    (tmp_path / "s.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=rule):
        read_samples(tmp_path / "s.jsonl")


def test_a_cut_off_file_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_bytes(write_lines([sample(1), sample(2)])[:-3])
    with pytest.raises(DataError, match=r"s\.jsonl, line 2"):
        read_samples(tmp_path / "s.jsonl")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the dataset file is missing"):
        read_samples(tmp_path / "s.jsonl")


def test_a_folder_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    replace_folder(folder, {"a": b"1", "b": b"2"})
    replace_folder(folder, {"a": b"3"})
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").read_bytes() == b"3"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    replace_folder(folder, {"anchors": b"frozen"})
    folder.rename(tmp_path / ".p.aside")
    (tmp_path / ".p.fresh").mkdir()
    recover_folder(folder)
    assert (folder / "anchors").read_bytes() == b"frozen"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_crash_while_writing_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    replace_folder(folder, {"a": b"old"})
    (tmp_path / ".p.fresh").mkdir()
    (tmp_path / ".p.fresh" / "a").write_bytes(b"ne")
    replace_folder(folder, {"a": b"new"})
    assert (folder / "a").read_bytes() == b"new"
