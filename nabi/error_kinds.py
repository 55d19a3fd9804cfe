"""The table of error kinds: which error is of which kind, what the loop does about it, and what a person should.

Foreign classes are named by text, so that nothing of theirs is imported here; a class stands for its subclasses.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from nabi.errors import GaveUpWaiting, NabiError


class Kind(StrEnum):
    """What went wrong, as far as it matters for what comes next."""

    OUT_OF_MEMORY = "out of memory"
    TRANSIENT = "transient"
    NO_SPACE = "no space"
    BAD_CONFIGURATION = "bad configuration"
    BAD_DATA = "bad data"
    TAKEN_OVER = "taken over"
    OUR_BUG = "our bug"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What the loop does about a kind, and what is left for a person to do."""

    retried: str
    mend: str


TREATMENT: dict[Kind, Treatment] = {
    Kind.OUT_OF_MEMORY: Treatment(
        "the training itself: half the batch, twice the accumulation (nabi/training/worker.py)",
        "Use the low-memory preset or a smaller batch_size, or close other programs.",
    ),
    Kind.TRANSIENT: Treatment(
        "with growing pauses and jitter until NABI_PATIENCE_SECONDS are over (nabi/waiting.py)",
        "Check that the servers and the network are up; the next run takes the same conversations.",
    ),
    Kind.NO_SPACE: Treatment("never", "Free space on the disk, then run the window again."),
    Kind.BAD_CONFIGURATION: Treatment("never", "Mend the setting, file or permission that is named, then run again."),
    Kind.BAD_DATA: Treatment("never", "Mend or remove the input that is named, then run again."),
    Kind.TAKEN_OVER: Treatment("never", "Nothing to mend: another process does the same work."),
    Kind.OUR_BUG: Treatment("never", "Report it with the trace in the log."),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Errors of these classes, when `holds` says so of the error, are of this kind."""

    kind: Kind
    classes: tuple[str, ...]
    holds: Callable[[BaseException], bool] = lambda _error: True


# EFBIG: past a limit on the size of files, as of `ulimit -f` or of the file system.
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_AWAY = frozenset(
    {
        *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETXTBSY, errno.ENOLCK),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT),
    }
)
# Request timeout, too early, too many requests; and every 5xx: what another try may mend.
_STATUSES_WORTH_A_TRY = frozenset({408, 425, 429})
_STATUSES_OF_SETTINGS = frozenset({401, 403, 407})
# What MLflow answers, and what it calls a server that does not answer (INTERNAL_ERROR without a response).
_MLFLOW_AWAY = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"})
# PostgreSQL: connection lost, rolled back for another transaction, out of resources, lock not available, shut down:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_AWAY = ("08", "40", "53300", "53400", "55P03", "57")
_NO_MEMORY_LEFT = r"out of memory|can't allocate memory|cannot allocate memory|ALLOC_FAILED"


def _errno_in(codes: frozenset[int]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, OSError) and error.errno in codes


def _says(pattern: str) -> Callable[[BaseException], bool]:
    return lambda error: re.search(pattern, str(error), re.IGNORECASE) is not None


def _status(error: BaseException) -> int:
    """The HTTP status of an answer that an error holds; 0 without one."""
    return int(getattr(getattr(error, "response", None), "status_code", 0) or getattr(error, "code", 0) or 0)


def _status_is_away(error: BaseException) -> bool:
    return _status(error) >= 500 or _status(error) in _STATUSES_WORTH_A_TRY


def _postgres_is_away(error: BaseException) -> bool:
    code = getattr(error, "pgcode", None)  # none when there was no answer at all
    return code is None or str(code).startswith(_POSTGRES_AWAY)


_HTTP_STATUS = ("httpx.HTTPStatusError", "requests.exceptions.HTTPError", "urllib.error.HTTPError")

# The first rule that fits an error decides. Narrow ones stand before wide ones.
RULES: tuple[Rule, ...] = (
    # Ours
    Rule(Kind.OUT_OF_MEMORY, ("nabi.errors.OutOfMemory",)),
    Rule(Kind.TRANSIENT, ("nabi.errors.TransientError", "nabi.errors.GaveUpWaiting")),
    Rule(Kind.NO_SPACE, ("nabi.errors.NoSpaceError",)),
    Rule(Kind.BAD_CONFIGURATION, ("nabi.errors.ConfigError",)),
    Rule(Kind.BAD_DATA, ("nabi.errors.DataError", "nabi.errors.ModelError")),
    Rule(Kind.TAKEN_OVER, ("nabi.errors.LeaseLost", "nabi.errors.PersonaBusy")),
    # Memory, on a GPU and off
    Rule(Kind.OUT_OF_MEMORY, ("MemoryError", "torch.OutOfMemoryError")),
    Rule(Kind.OUT_OF_MEMORY, ("RuntimeError", "torch.AcceleratorError"), _says(_NO_MEMORY_LEFT)),
    Rule(Kind.OUT_OF_MEMORY, ("OSError",), _errno_in(frozenset({errno.ENOMEM}))),
    # A step that ran past its own limit would do so again
    Rule(
        Kind.BAD_CONFIGURATION,
        ("prefect.task_engine.TaskRunTimeoutError", "prefect.flow_engine.FlowRunTimeoutError"),
    ),
    # Disks
    Rule(Kind.NO_SPACE, ("OSError",), _errno_in(_NO_SPACE)),
    Rule(Kind.BAD_CONFIGURATION, ("OSError",), _errno_in(_FORBIDDEN)),
    # Answers over HTTP, Prefect's client included
    Rule(Kind.TRANSIENT, _HTTP_STATUS, _status_is_away),
    Rule(Kind.BAD_CONFIGURATION, _HTTP_STATUS, lambda e: _status(e) in _STATUSES_OF_SETTINGS),
    Rule(Kind.OUR_BUG, _HTTP_STATUS),
    # No answer at all
    Rule(Kind.BAD_CONFIGURATION, ("httpx.UnsupportedProtocol", "httpx.InvalidURL", "requests.exceptions.InvalidURL")),
    Rule(
        Kind.TRANSIENT,
        (
            *("httpx.TransportError", "requests.exceptions.ConnectionError", "requests.exceptions.Timeout"),
            *("requests.exceptions.ChunkedEncodingError", "urllib3.exceptions.TimeoutError"),
            *("urllib3.exceptions.ProtocolError", "urllib3.exceptions.MaxRetryError", "urllib.error.URLError"),
            *("websockets.exceptions.ConnectionClosed", "socket.gaierror", "ConnectionError", "TimeoutError"),
        ),
    ),
    Rule(Kind.TRANSIENT, ("OSError",), _errno_in(_AWAY)),
    # Databases
    Rule(Kind.TRANSIENT, ("sqlite3.OperationalError",), _says(r"locked|busy|interrupted")),
    Rule(Kind.NO_SPACE, ("sqlite3.OperationalError",), _says(r"disk is full")),
    Rule(Kind.BAD_CONFIGURATION, ("sqlite3.OperationalError",), _says(r"readonly|unable to open|disk I/O")),
    Rule(Kind.BAD_DATA, ("sqlite3.DatabaseError",), _says(r"malformed|not a database")),
    Rule(Kind.TRANSIENT, ("psycopg2.OperationalError", "psycopg2.InterfaceError"), _postgres_is_away),
    Rule(Kind.TRANSIENT, ("sqlalchemy.exc.TimeoutError", "sqlalchemy.exc.DisconnectionError")),
    Rule(Kind.TRANSIENT, ("sqlalchemy.exc.DBAPIError",), lambda e: bool(getattr(e, "connection_invalidated", False))),
    # MLflow and DVC
    Rule(Kind.NO_SPACE, ("mlflow.exceptions.MlflowException",), _says(r"disk is full|no space left on device")),
    Rule(Kind.TRANSIENT, ("mlflow.exceptions.MlflowException",), lambda e: _mlflow_code(e) in _MLFLOW_AWAY),
    Rule(
        Kind.BAD_CONFIGURATION,
        ("mlflow.exceptions.MlflowException",),
        lambda e: _mlflow_code(e) in {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"},
    ),
    Rule(Kind.BAD_DATA, ("mlflow.exceptions.MlflowException",)),
    Rule(Kind.TRANSIENT, ("dvc.lock.LockError", "dvc.exceptions.FileTransferError", "dvc.exceptions.HTTPError")),
    Rule(Kind.BAD_CONFIGURATION, ("dvc.config.ConfigError", "dvc.config.RemoteConfigError")),
    Rule(Kind.BAD_DATA, ("dvc.exceptions.DvcException",)),
    # Whatever else nabi raised on purpose
    Rule(Kind.BAD_DATA, ("nabi.errors.NabiError",)),
)


def kind_of(error: BaseException) -> Kind:
    """The kind of an error; of an error that no rule knows, the kind of what caused it; else a bug of ours.

    A wrapper such as SQLAlchemy's says less than what it wraps: its cause is asked as well. An error that nabi raised
    has said all.
    """
    for told in _causes(error):
        for rule in RULES:
            if _is_one_of(told, rule.classes) and rule.holds(told):
                return rule.kind
    return Kind.OUR_BUG


def is_worth_another_try(error: BaseException) -> bool:
    """Whether the same call may succeed a little later. Whoever waited already does not begin anew."""
    return kind_of(error) is Kind.TRANSIENT and not isinstance(error, GaveUpWaiting)


def explanation(error: BaseException) -> str:
    """The sentence for the person who must mend it: the error, its kind, and what to do unless the error says so."""
    kind = kind_of(error)
    told = str(error) if isinstance(error, NabiError) else f"{type(error).__name__}: {error}"
    remedy = "" if isinstance(error, NabiError) and error.fix else f" {TREATMENT[kind].mend}"
    return f"{kind}: {told}{remedy}"


def _mlflow_code(error: BaseException) -> str:
    return str(getattr(error, "error_code", ""))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it wraps, outermost first."""
    seen: set[int] = set()
    told: BaseException | None = error
    while told is not None and id(told) not in seen:
        seen.add(id(told))
        yield told
        told = getattr(told, "orig", None) or told.__cause__  # SQLAlchemy keeps the driver's error in `orig`


def _is_one_of(error: BaseException, names: tuple[str, ...]) -> bool:
    return any(_name(kind) in names for kind in type(error).__mro__)


def _name(kind: type) -> str:
    """`module.Class`, of a builtin the class alone; some packages show private modules as their public one."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
