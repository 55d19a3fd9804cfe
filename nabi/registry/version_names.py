"""How adapter versions are named. Apart from the registry, so that who only reads a name does not wait for MLflow."""

from __future__ import annotations

import re

from nabi.errors import ConfigError

_VERSION_NAME = re.compile(r"(?P<persona>[a-z0-9]+(?:-[a-z0-9]+)*)--v(?P<number>[1-9][0-9]*)")


def version_name(persona_id: str, number: int) -> str:
    """The immutable name of an adapter version, e.g. `nabiyam--v7`."""
    return f"{persona_id}--v{number}"


def parse_version_name(name: str) -> tuple[str, int]:
    """(persona id, number) of an adapter version's name.

    Raises:
        ConfigError: the name has another form.
    """
    match = _VERSION_NAME.fullmatch(name)
    if not match:
        raise ConfigError(f"{name!r} is no adapter version", fix="Versions are written as nabiyam--v7.")
    return match["persona"], int(match["number"])


def is_version_name(name: str) -> bool:
    """Whether a text has the form of an adapter version's name; personas' ids never hold two hyphens in a row."""
    return _VERSION_NAME.fullmatch(name) is not None
