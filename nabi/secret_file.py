"""A file that holds a secret: made once, whole or not at all, readable by its owner only."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from nabi.errors import ConfigError

log = logging.getLogger(__name__)


def read_or_create(path: Path, fresh: bytes, what: str) -> bytes:
    """What the file holds; `fresh` when it is made now. A file that others could read is narrowed to 0600.

    Args:
        what: how an error calls it, "the key of the user ids" say.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    try:
        return _read_or_create(path, fresh)
    except OSError as error:
        raise ConfigError(
            f"{what} cannot be used: {error.strerror}.",
            where=str(path),
            fix="Choose a state folder you may write to with NABI_STATE_DIR.",
        ) from error


def _read_or_create(path: Path, fresh: bytes) -> bytes:
    if not path.exists():
        _create(path, fresh)
    content = path.read_bytes()
    if path.stat().st_mode & 0o077:
        log.warning("%s was readable by others; its permissions are narrowed to 0600", path)
        path.chmod(0o600)
    return content


def replace(path: Path, content: str) -> None:
    """Writes a file that only its owner may read, whole or not at all, over what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = _write_beside(path, content.encode())
    fresh.replace(path)


def _create(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all; when two processes try at once, the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = _write_beside(path, content)
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        log.debug("%s was just made by another process", path)
    finally:
        fresh.unlink()


def _write_beside(path: Path, content: bytes) -> Path:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return fresh
