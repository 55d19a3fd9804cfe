"""User ids leave the building only as keyed hashes; here is the key and the hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from pathlib import Path

from nabi.errors import ConfigError
from nabi.secret_file import read_or_create

KEY_BYTES = 32


def load_or_create_key(path: Path) -> bytes:
    """The installation's secret key of 32 bytes; made on first use, readable by its owner only.

    Without this very key, later conversations of a user no longer match the earlier ones, and a deletion
    request misses them: back it up with the database.

    Raises:
        ConfigError: the file cannot be read or written, or holds no key.
    """
    key = read_or_create(path, secrets.token_bytes(KEY_BYTES), "the key of the user ids")
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
