"""Times and spans as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from nabi.errors import ConfigError

_SPAN = re.compile(r"(\d+)\s*([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def parse_moment(text: str | None, *, option: str, timezone: str = "Asia/Seoul") -> datetime:
    """An ISO time; without a zone it is read in `timezone`; None means now.

    Raises:
        ConfigError: the text is no time.
    """
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no time", where=option, fix="Write it as 2026-07-01T12:00 or 2026-07-01T12:00+09:00."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(timezone))


def parse_span(text: str, *, option: str) -> timedelta:
    """A span such as 6h, 30m or 1d.

    Raises:
        ConfigError: the text is no span.
    """
    match = _SPAN.fullmatch(text.strip())
    if not match or int(match[1]) == 0:
        raise ConfigError(f"{text!r} is no span of time", where=option, fix="Write it as 6h, 30m or 1d.")
    return int(match[1]) * _UNITS[match[2]]
