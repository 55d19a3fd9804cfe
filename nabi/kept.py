"""What follows from its inputs alone, kept on disk between processes: made once, however many runs ask for it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptResults:
    """Results by what they were made from, each in a file of its own. The folder may be emptied at any time.

    Args:
        folder: made on demand.
        most: files in it; those written longest ago go first.
    """

    folder: Path
    most: int = 32

    def get(self, made_from: Sequence[object], form: TypeAdapter[T], make: Callable[[], T]) -> T:
        """What `make` gives, from the disk where it was made from the same before.

        A file that is not as it was written is made anew. Where nothing can be written, that costs time and no more.

        Args:
            made_from: all that the result follows from, the code that makes it included (`code_of`).
        """
        path = self.folder / _sha256(json.dumps([str(part) for part in made_from]).encode())
        if path.exists():
            try:
                return form.validate_json(_checked(path.read_bytes()))
            except (OSError, ValueError) as error:  # what pydantic raises is a ValueError too
                logger.warning("%s is made anew, it cannot be used: %s", path, error)
        made = make()
        try:
            self._write(path, form.dump_json(made))
        except OSError as error:
            logger.warning("%s cannot be kept, the next run will make it again: %s", path, error)
        return made

    def _write(self, path: Path, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        fresh.write_bytes(f"{_sha256(content)}\n".encode() + content)
        fresh.replace(path)
        # What a killed process left half-written is among the oldest one day.
        with suppress(FileNotFoundError):  # another process was first
            by_age = sorted(self.folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
            for old in by_age[: -self.most]:
                old.unlink()


def _checked(content: bytes) -> bytes:
    """Without the digest in the first line.

    Raises:
        ValueError: the rest has another digest.
    """
    digest, _, rest = content.partition(b"\n")
    if digest.decode() != _sha256(rest):
        raise ValueError("its content is not what was written")
    return rest


@cache
def code_of(*places: Path, libraries: tuple[str, ...] = ()) -> str:
    """A digest of what makes a result: source files and those in folders, Python's version, those of libraries."""
    digest = hashlib.sha256(sys.version.encode())
    for name in libraries:
        digest.update(f"{name} {version(name)}\n".encode())
    for place in places:
        for source in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{source.name} {_sha256(source.read_bytes())}\n".encode())
    return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
