"""Opening the database, and the two ways to use it: `write()` and `read()`.

SQLite runs with WAL, BEGIN IMMEDIATE, foreign keys, a busy timeout and synchronous FULL: readers never wait,
writers queue instead of failing, and a committed row survives a power cut.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, exc, func, select
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.orm import Session

from nabi.database.schema import HEAD, current_revision, migrate
from nabi.errors import ConfigError, DataError, NabiError, NoSpaceError, TransientError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for its turn before it gives up with a TransientError."""

_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SQLITE_UNUSABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
# Connection exceptions, rolled back for another transaction, out of resources, lock not available, operator
# intervention: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_TRANSIENT = ("08", "40", "53", "55P03", "57")

_OPTIONS: dict[str, Any] = {
    "json_serializer": partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
    "hide_parameters": True,  # they are what people said, and an error's text ends in logs
}

# The driver's autocommit on SQLite is ours already (see `_prepare_sqlite`); only our own BEGIN has to stay away.
_ALONE: dict[str, dict[str, Any]] = {
    "sqlite": {"begin": None},
    "postgresql": {"isolation_level": "AUTOCOMMIT"},
}


class Database:
    """One database and its pool of connections. Made by `open_database`; may be shared by threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        if self._is_sqlite:
            self._writer: Engine = engine.execution_options(begin="BEGIN IMMEDIATE")
            self._reader = engine.execution_options(begin="BEGIN")
        else:
            self._writer = engine
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @property
    def address(self) -> str:
        """The URL without its password, for messages."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def write(self, lock: str | None = None) -> Iterator[Session]:
        """A session in a write transaction: committed at the end, rolled back on an exception.

        Args:
            lock: transactions that name the same lock run one after the other. On SQLite all writers do
                so anyway; on PostgreSQL an advisory lock is held until the end of the transaction.

        Raises:
            TransientError: the database was locked or away; nothing was written.
        """
        with self._translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            session.connection()  # begins now, so that the wait for other writers is here and not further down
            if lock is not None and not self._is_sqlite:
                session.execute(select(func.pg_advisory_xact_lock(func.hashtext(lock))))
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one unchanging state of the database. Nothing written in it is kept.

        Raises:
            TransientError: the database was locked or away.
        """
        with self._translated(), Session(self._reader) as session:
            yield session

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for a server."""
        return Path(str(self._engine.url.database)) if self._is_sqlite else None

    @contextmanager
    def session_of_its_own(self) -> Iterator[Connection]:
        """A connection in which every statement stands for itself, for VACUUM and for locks that outlast a transaction.

        Raises:
            TransientError: the database was locked or away.
        """
        with self._translated(), self._engine.connect() as connection:
            yield connection.execution_options(**_ALONE[self.dialect])

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error) as error:  # the latter while a connection is prepared
            translated = _translate(error, self.address)
            if translated is None:
                raise
            raise translated from error


def open_database(url: str) -> Database:
    """Open a database and bring its tables up to date; safe when several processes do so at once.

    Args:
        url: SQLAlchemy URL, `sqlite:///path/to/nabi.db` or `postgresql://user@host/name`. The folder of a
            SQLite file is made; the file is readable by its owner only.

    Raises:
        ConfigError: the URL cannot be used, or the database was made by a newer nabi.
        TransientError: the server is away or somebody held a lock for too long.
        DataError: the file is damaged or is no database.
    """
    parsed = _parse(url)
    engine = _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgres_engine(parsed)
    database = Database(engine)
    try:
        with database._translated():
            if database._is_sqlite:
                _switch_to_wal(engine)
            _bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return database


def _bring_up_to_date(database: Database) -> None:
    # Looked at in a read transaction first, so that opening never waits for a busy writer in the usual case.
    with database._reader.connect() as connection:
        if current_revision(connection) == HEAD:
            return
    with database._writer.begin() as connection:
        if not database._is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("nabi migrations"))))
        migrate(connection)


def _parse(url: str) -> URL:
    fix = "Write sqlite:///path/to/nabi.db or postgresql://user:password@host/name."
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ConfigError("the database URL cannot be read.", where="database_url", fix=fix) from error
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"no support for a database of kind {backend!r}.", where="database_url", fix=fix)
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("a database in memory cannot be shared by processes.", where="database_url", fix=fix)
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made here, because SQLite would let everybody on the machine read what children wrote.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigError(
            f"the database cannot be opened: {error.strerror}.",
            where=str(path),
            fix="Choose a folder you may write to with NABI_STATE_DIR or NABI_DATABASE_URL.",
        ) from error
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, **_OPTIONS)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgres_engine(url: URL) -> Engine:
    try:
        engine = create_engine(url, connect_args={"connect_timeout": 10}, pool_pre_ping=True, **_OPTIONS)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"PostgreSQL needs the package {error.name}.",
            where="database_url",
            fix='Install it with: pip install "nabi[postgres]".',
        ) from error
    event.listen(engine, "handle_error", _leave_out_the_row)
    return engine


def _leave_out_the_row(context: ExceptionContext) -> None:
    """PostgreSQL quotes a row that it refuses in the error's detail; like the parameters it is what people said."""
    driver, wrapped = context.original_exception, context.sqlalchemy_exception
    told = getattr(driver, "diag", None)
    if told is None or told.message_detail is None:
        return
    driver.args = (told.message_primary,)
    if wrapped is not None:
        wrapped.args = (f"({type(driver).__module__}.{type(driver).__name__}) {told.message_primary}",)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN is switched off: it would be a plain one, which fails under several writers.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    # What is deleted is overwritten with zeros; without it a deleted text stays readable in the file.
    connection.execute("PRAGMA secure_delete = ON")


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get("begin", "BEGIN")
    if begin is not None:
        connection.exec_driver_sql(begin)


def _switch_to_wal(engine: Engine) -> None:
    """Set the journal mode, which stays in the file. SQLite does not wait for the lock here, so we do."""
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    raw = engine.raw_connection()
    connection = cast(sqlite3.Connection, raw.driver_connection)
    try:
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(0.05)
    finally:
        raw.close()
    if mode != "wal":
        log.warning("%s: this file system allows no WAL (journal mode %s); readers will wait", engine.url, mode)


def _translate(error: exc.SQLAlchemyError | sqlite3.Error, address: str) -> NabiError | None:
    """The error as a person should read it; None for a mistake in our own code."""
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error, address)
    if isinstance(error, exc.TimeoutError):
        return TransientError("every connection is in use.", where=address, fix="Try again in a moment.")
    if not isinstance(error, exc.DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _translate_sqlite(error.orig, address)
    if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
        return _translate_postgres(error.orig, address)
    return None


def _translate_postgres(error: BaseException | None, address: str) -> NabiError | None:
    code = getattr(error, "pgcode", None)  # none when there was no answer at all
    if code is not None and not code.startswith(_POSTGRES_TRANSIENT):
        return None
    told = str(error).strip().splitlines()
    return TransientError(
        f"the database server did not answer: {told[0] if told else type(error).__name__}.",
        where=address,
        fix="Check that it runs and that the URL is right, then try again.",
    )


def _translate_sqlite(error: sqlite3.Error, address: str) -> NabiError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_BUSY:
        return TransientError(
            f"another process kept the database locked for {BUSY_TIMEOUT_S:g} s.",
            where=address,
            fix="Try again when it is done.",
        )
    if code in _SQLITE_DAMAGED:
        return DataError(
            f"the file is damaged or is no SQLite database ({error}).",
            where=address,
            fix="Put it aside and restore a copy, or start anew without it.",
        )
    if code == sqlite3.SQLITE_FULL:
        return NoSpaceError("there is no space left for the database.", where=address, fix="Free space on its disk.")
    if code in _SQLITE_UNUSABLE:
        return ConfigError(
            f"the database cannot be used: {error}.",
            where=address,
            fix="Check the disk and the permissions of the file and its folder.",
        )
    return None
