"""User ids leave the building only as keyed hashes; here is the key and the hash."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import unicodedata
from pathlib import Path

from nabi.errors import ConfigError

log = logging.getLogger(__name__)

KEY_BYTES = 32


def load_or_create_key(path: Path) -> bytes:
    """The installation's secret key of 32 bytes; made on first use, readable by its owner only.

    Without this very key, later conversations of a user no longer match the earlier ones, and a deletion
    request misses them: back it up with the database.

    Raises:
        ConfigError: the file cannot be read or written, or holds no key.
    """
    try:
        if not path.exists():
            _create_key(path)
        key = path.read_bytes()
        if path.stat().st_mode & 0o077:
            log.warning("%s was readable by others; its permissions are narrowed to 0600", path)
            path.chmod(0o600)
    except OSError as error:
        raise ConfigError(
            f"the key of the user ids cannot be used: {error.strerror}.",
            where=str(path),
            fix="Choose a state folder you may write to with NABI_STATE_DIR.",
        ) from error
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"the key of the user ids has {len(key)} bytes and needs {KEY_BYTES}.",
            where=str(path),
            fix="Restore it from a backup; a new key would no longer match the users stored so far.",
        )
    return key


def user_key(user_id: str, key: bytes) -> str:
    """HMAC-SHA256 of a user's id, 64 hex digits. The id is composed (NFC) first: one person, one hash."""
    return hmac.new(key, unicodedata.normalize("NFC", user_id).encode(), hashlib.sha256).hexdigest()


def _create_key(path: Path) -> None:
    """Write the key whole or not at all; when two processes try at once, the first one's key stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            log.debug("%s was just made by another process", path)
    finally:
        fresh.unlink()
