"""A queue on the disk between an answer and the database: an entry is durable when `put` returns, and taken later.

So a crash after an answer, or a database that is away, loses nothing. Each process writes a file of its own; whoever
runs takes what processes that are gone left behind. An entry may be taken twice after a crash, so takers skip what is
there already.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from nabi.errors import TransientError
from nabi.repeating import Repeating

logger = logging.getLogger(__name__)

Entry = dict[str, Any]

_EVERY_S = 0.5
_OPEN, _SEALED = "open-", "sealed-"
REFUSED = "refused-"
"""How files begin that hold an entry which cannot be read, for people to look at; a deletion looks into them."""


class Spool:
    """Entries on their way.

    Args:
        folder: on a local disk, shared by the processes of one installation.
        take: puts entries where they belong; a NabiError leaves them here for another try.
    """

    def __init__(self, folder: Path, take: Callable[[list[Entry]], None]) -> None:
        self._folder = folder
        self._take = take
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._writing = threading.Lock()
        self._draining = threading.Lock()
        self._file: IO[bytes] | None = None
        self._path = Path()
        self.taking = Repeating("spool", self.drain, every_s=_EVERY_S)

    def start(self) -> None:
        """Take what is there, now and from now on, in a thread of its own."""
        self.taking.start()

    def stop(self) -> None:
        """One last try; what cannot be taken stays for the next start."""
        self.taking.stop()
        self.taking.turn()

    @property
    def num_files(self) -> int:
        """Files that wait, the open one included."""
        return sum(1 for path in self._folder.iterdir() if path.name.startswith((_OPEN, _SEALED)))

    def put(self, entry: Entry) -> None:
        """Keeps an entry; when this returns, it survives a power cut."""
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            file = self._file or self._open()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def drain(self) -> None:
        """Takes everything that was put before this call.

        Raises:
            TransientError: it cannot be taken now; nothing of it is lost.
        """
        with self._draining:
            self._seal_own()
            self._adopt()
            problems = [self._take_file(path) for path in sorted(self._folder.glob(f"{_SEALED}*"))]
        if problem := next(filter(None, problems), None):
            raise TransientError(
                f"what was said cannot be put into the database yet ({problem}).",
                where=str(self._folder),
                fix="Nothing is lost: it waits on the disk.",
            ) from problem

    def _open(self) -> IO[bytes]:
        while True:
            path = self._folder / f"{_OPEN}{secrets.token_hex(8)}.jsonl"
            file = path.open("ab")
            os.fchmod(file.fileno(), 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)  # tells other processes that this one lives
            # Another one may have adopted it before it was locked: what is written to it would be lost.
            if path.exists():
                break
            file.close()
        self._path, self._file = path, file
        _sync_folder(self._folder)
        return file

    def _seal_own(self) -> None:
        with self._writing:
            if self._file is not None:
                self._seal(self._path)
                self._file.close()
                self._file = None

    def _adopt(self) -> None:
        """Files of processes that are gone: nobody holds their lock."""
        for path in self._folder.glob(f"{_OPEN}*"):
            if path == self._path and self._file is not None:
                continue
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._seal(path)
            except (BlockingIOError, FileNotFoundError):
                continue

    def _seal(self, path: Path) -> None:
        path.rename(self._folder / f"{_SEALED}{time.time_ns()}-{path.name.removeprefix(_OPEN)}")

    def _take_file(self, path: Path) -> Exception | None:
        """Why a file's entries could not be taken; one that cannot never keeps the others waiting."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # another process was faster
            return None
        # A last line without its end was being written when its process died: that answer never ended either.
        lines = [line for line in content.split(b"\n")[:-1] if line]
        try:
            self._take_lines(lines)
        except Exception as error:
            # Whatever it is: `drain` tells of it, the entries stay, and the other files are taken.
            return error
        path.unlink(missing_ok=True)
        return None

    def _take_lines(self, lines: list[bytes]) -> None:
        """Takes entries together; one that cannot be read (another version wrote it) is set apart, not its neighbours.

        Otherwise it would be tried for ever, and whoever needs everything taken first would wait as long.
        """
        if not lines:
            return
        try:
            self._take([json.loads(line) for line in lines])
        except ValueError as error:
            if len(lines) > 1:
                for line in lines:
                    self._take_lines([line])
            else:
                self._set_apart(lines[0], error)

    def _set_apart(self, line: bytes, error: ValueError) -> None:
        path = self._folder / f"{REFUSED}{time.time_ns()}-{secrets.token_hex(4)}.jsonl"
        with path.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # Its kind only: the message of such an error quotes what was said.
        logger.error("an answer's record cannot be read (%s); it lies in %s", type(error).__name__, path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
