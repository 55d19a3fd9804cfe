"""The address of another server, as people write it into settings and on command lines."""

from __future__ import annotations

from urllib.parse import urlsplit


def usable_address(value: str, *, key: str) -> str:
    """The address without a slash at its end.

    Args:
        key: the variable that holds the server's password, which no address should.

    Raises:
        ValueError: it is no address of a server, or tells a password.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{value!r} is no address of a server; write it as https://host/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the address holds a password, which every copy of it would tell; set {key} instead")
    return value.rstrip("/")
