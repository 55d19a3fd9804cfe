"""Every error a person may meet: what is wrong, where, and what to do about it.

The kinds matter to the loop: it retries `TransientError`, shrinks the batch on `OutOfMemory`, and never
retries the others, because trying the same bad input again cannot help. `nabi/error_kinds.py` holds the whole table,
foreign errors included.
"""

from __future__ import annotations

from typing import Any


class NabiError(Exception):
    """Base of all errors that nabi raises on purpose.

    Args:
        what: the rule that was broken, with the offending value.
        where: file, row, field or setting; left out when `what` says it all.
        fix: what the reader can do next.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(what, where, fix)

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes; pickle alone would pass `where` and `fix` by position."""
        return _rebuilt, (type(self), self.what, self.where, self.fix)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f" {self.fix}" if self.fix else ""
        return f"{place}{self.what}{remedy}"


def _rebuilt(kind: type[NabiError], what: str, where: str | None, fix: str | None) -> NabiError:
    return kind(what, where=where, fix=fix)


class ConfigError(NabiError):
    """A setting, a persona file or a command line that cannot be used as it stands."""


class DataError(NabiError):
    """Input that cannot be used: a broken workbook, an unreadable log, an empty dataset."""


class ModelError(NabiError):
    """A base model or an adapter that is missing, damaged, or does not fit the other."""


class OutOfMemory(NabiError):
    """The device has too little memory for this batch."""


class TransientError(NabiError):
    """Something outside was busy or away: a lock, a database, a server. Worth another try."""


class LeaseLost(NabiError):
    """Another process took over what this one was at; it must not write any more."""


class NoSpaceError(NabiError):
    """The disk is full, or a quota is used up."""


class GaveUpWaiting(NabiError):
    """Something outside stayed busy or away for longer than a step waits. The window stays free to be run again."""


class PersonaBusy(NabiError):
    """Another run works on the persona; one at a time."""


class RunQueueFull(NabiError):
    """As many runs wait as may wait (requirement A6)."""
