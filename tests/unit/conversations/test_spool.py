from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import pytest
from waiting import PATIENCE_S, wait_until

from nabi.conversations.spool import Entry, Spool
from nabi.errors import TransientError


class Taker:
    """Where entries go, and whether it can be reached."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.away = False

    def __call__(self, entries: list[dict[str, Any]]) -> None:
        if self.away:
            raise TransientError("the database is away.")
        self.taken += entries


def test_what_was_put_is_taken_once_and_in_order(tmp_path: Path) -> None:
    taker = Taker()
    spool = Spool(tmp_path / "spool", taker)
    for number in range(3):
        spool.put({"number": number, "text": "라면\n😊"})
    spool.drain()
    spool.put({"number": 3, "text": ""})
    spool.drain()
    spool.drain()
    assert [entry["number"] for entry in taker.taken] == [0, 1, 2, 3]
    assert taker.taken[0]["text"] == "라면\n😊"
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_cannot_be_taken_waits_and_is_taken_later(tmp_path: Path) -> None:
    taker = Taker()
    spool = Spool(tmp_path / "spool", taker)
    taker.away = True
    spool.put({"number": 0})
    with pytest.raises(TransientError, match="Nothing is lost"):
        spool.drain()
    spool.put({"number": 1})
    spool.stop()
    taker.away = False
    Spool(tmp_path / "spool", taker).drain()
    assert [entry["number"] for entry in taker.taken] == [0, 1]


def test_what_a_killed_process_put_is_taken_by_the_next_one(tmp_path: Path) -> None:
    """The child is killed in the middle of a line: the whole lines count, the torn one was never promised."""
    code = f"""
import os, pathlib
from nabi.conversations.spool import Entry, Spool
spool = Spool(pathlib.Path({str(tmp_path / "spool")!r}), print)
spool.put({{"number": 1}})
spool.put({{"number": 2}})
spool._file.write(b'{{"number": 3')
spool._file.flush()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    taker = Taker()
    Spool(tmp_path / "spool", taker).drain()
    assert [entry["number"] for entry in taker.taken] == [1, 2]


def test_the_file_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    mine, others = Taker(), Taker()
    one, two = Spool(tmp_path / "spool", mine), Spool(tmp_path / "spool", others)
    one.put({"number": 0})
    two.drain()
    assert others.taken == []
    one.drain()
    assert len(mine.taken) == 1


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", Taker())
    spool.put({"number": 0})
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "spool").iterdir())


def test_a_file_that_another_process_adopts_while_it_is_made_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Entry] = []
    mine, other = Spool(tmp_path, taken.extend), Spool(tmp_path, taken.extend)
    lock, interrupted = fcntl.flock, False

    def lock_late(file: IO[bytes], how: int) -> None:
        """The other one looks around between the making of the file and its locking."""
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            other.drain()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    mine.put({"number": 1})
    other.drain()
    mine.put({"number": 2})
    mine.drain()
    assert taken == [{"number": 1}, {"number": 2}]
    assert mine.num_files == 0


def test_a_failing_disk_does_not_end_the_taking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Entry] = []
    spool = Spool(tmp_path, taken.extend)
    failed = threading.Event()

    def broken(_self: Path, _target: Path) -> None:
        failed.set()
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", broken)
        spool.put({"number": 1})
        spool.start()
        assert failed.wait(PATIENCE_S)
    wait_until(lambda: taken)
    spool.stop()
    assert taken == [{"number": 1}]


def test_an_entry_that_cannot_be_read_is_set_apart_and_its_neighbours_are_taken(tmp_path: Path) -> None:
    taken: list[Entry] = []

    def take(entries: list[Entry]) -> None:
        if any(entry["number"] == 1 for entry in entries):
            raise ValueError("another version wrote it: 비밀")
        taken.extend(entries)

    spool = Spool(tmp_path, take)
    for number in range(3):
        spool.put({"number": number})
    spool.drain()
    assert taken == [{"number": 0}, {"number": 2}]
    [path] = tmp_path.iterdir()
    assert path.name.startswith("refused-")
    assert path.stat().st_mode & 0o077 == 0
    assert path.read_text() == '{"number":1}\n'
    spool.drain()
    assert len(taken) == 2


def test_an_entry_that_nobody_can_take_keeps_none_of_the_others_waiting(tmp_path: Path) -> None:
    taken: list[Entry] = []

    def take(entries: list[Entry]) -> None:
        if entries[0]["number"] == 1:
            raise KeyError("a column that no table has")
        taken.extend(entries)

    spool = Spool(tmp_path, take)
    spool.put({"number": 1})
    with pytest.raises(TransientError, match="Nothing is lost"):
        spool.drain()
    spool.start()
    spool.put({"number": 2})
    wait_until(lambda: taken)
    spool.stop()
    assert taken == [{"number": 2}]
    assert spool.num_files == 1
