"""Who holds people's words in memory or writes them down, and who deletes them: never both at the same time.

A step that reads conversations and writes something made of them holds the guard shared; a deletion holds it alone.
Else a snapshot that began before a deletion could write the deleted rows back after it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from nabi.database.engine import Database
from nabi.errors import TransientError

WORDS = "people's words"
"""The guard over everything that is made of conversations: datasets, scores, artifacts."""

_POLL_S = 0.05


@contextmanager
def guarded(database: Database, name: str = WORDS, *, alone: bool = False, wait_s: float = 600.0) -> Iterator[None]:
    """Holds a guard of this installation for the length of the block; a dead holder's is free at once.

    SQLite: a lock on a file beside the database, for the processes of this machine. PostgreSQL: an advisory lock,
    for every machine that uses the database.

    Args:
        alone: nobody else may hold it, shared or not.
        wait_s: how long to wait for the others.

    Raises:
        TransientError: the others did not let go in time.
    """
    if database.file is not None:
        with _file_guard(_lock_file(database.file, name), alone, wait_s):
            yield
    else:
        with _server_guard(database, name, alone, wait_s):
            yield


@contextmanager
def _file_guard(path: Path, alone: bool, wait_s: float) -> Iterator[None]:
    wanted = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with path.open("a") as handle:

        def take() -> bool:
            try:
                fcntl.flock(handle, wanted | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        _wait(take, str(path), wait_s)
        yield


@contextmanager
def _server_guard(database: Database, name: str, alone: bool, wait_s: float) -> Iterator[None]:
    suffix = "" if alone else "_shared"
    with database.session_of_its_own() as connection:

        def take() -> bool:
            taken = connection.execute(
                text(f"SELECT pg_try_advisory_lock{suffix}(hashtext('nabi guard'), hashtext(:name))"), {"name": name}
            )
            return bool(taken.scalar())

        _wait(take, database.address, wait_s)
        try:
            yield
        finally:
            connection.execute(
                text(f"SELECT pg_advisory_unlock{suffix}(hashtext('nabi guard'), hashtext(:name))"), {"name": name}
            )


def _wait(take: Callable[[], bool], where: str, wait_s: float) -> None:
    give_up = time.monotonic() + wait_s
    while not take():
        if time.monotonic() > give_up:
            raise TransientError(
                f"another step used people's conversations for {wait_s:g} s.",
                where=where,
                fix="Try again when it is done: a deletion is noted and finished at the next start.",
            )
        time.sleep(_POLL_S)


def _lock_file(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}.{name.replace(' ', '-').replace(chr(39), '')}.lock")
