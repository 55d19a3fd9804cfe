"""How a command names a person: by the raw id, which is hashed here and goes no further, or by its hash."""

from __future__ import annotations

import re

from nabi.errors import ConfigError
from nabi.settings import Settings

_KEY = re.compile(r"[0-9a-f]{64}")


def person_key(settings: Settings, user: str | None, user_key: str | None) -> str:
    """The keyed hash of a person.

    Raises:
        ConfigError: neither or both were given, or the hash is none.
    """
    from nabi.conversations.keys import load_or_create_key
    from nabi.conversations.keys import user_key as hashed

    if (user is None) == (user_key is None):
        raise ConfigError("name the person once.", where="--user/--user-key", fix="Give --user ID or --user-key HASH.")
    if user is not None:
        return hashed(user, load_or_create_key(settings.state / "secrets" / "user.key"))
    if user_key is None or not _KEY.fullmatch(user_key):
        raise ConfigError("a user key is 64 hex digits.", where="--user-key", fix="Give the raw id with --user.")
    return user_key
