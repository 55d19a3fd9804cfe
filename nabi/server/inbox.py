"""What was posted, as a file, as long as it is read; a server that was killed meanwhile leaves nothing that stays."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nabi.file_lock import locked


class Inbox:
    """A folder for bodies that are read as files. They hold what people said, before anything was taken out of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = folder.parent / "locks" / f"{folder.name}.lock"

    @contextmanager
    def holding(self, body: bytes, ending: str) -> Iterator[Path]:
        """A file with this body, readable by this user only, until the block ends."""
        # Under the lock nobody sweeps between a file's making and its being held.
        with locked(self._lock):
            self._make()
            path = self._folder / f"{secrets.token_hex(8)}.{ending}"
            file = path.open("xb")
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            with file:
                file.write(body)
                file.flush()
                yield path
        finally:
            path.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Removes the files of processes that are gone; how many there were."""
        num = 0
        with locked(self._lock):
            for path in self._folder.glob("*"):
                if _is_nobodys(path):
                    path.unlink(missing_ok=True)
                    num += 1
        return num

    def _make(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)


def _is_nobodys(path: Path) -> bool:
    """The kernel lets go of a dead process's lock."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):  # somebody reads it; its reader has just removed it
        return False
    return True
