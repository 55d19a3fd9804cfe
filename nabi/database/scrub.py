"""After a deletion: nothing of what was deleted stays in the files of the database."""

from __future__ import annotations

from sqlalchemy import text

from nabi.database.engine import Database
from nabi.errors import TransientError


def scrub(database: Database) -> None:
    """Rewrites a SQLite file without its free pages and empties its write-ahead log; nothing to do on a server.

    `secure_delete` zeroes what is deleted, but pages freed before it was set, and the log's copies of old pages, are
    out of its reach. On PostgreSQL see docs/deletion.md: only its own administrator can reach backups and logs.

    Raises:
        TransientError: another process kept reading an old state of the file.
    """
    if database.file is None:
        return
    with database.session_of_its_own() as connection:
        connection.execute(text("VACUUM"))
        # The first column tells whether a reader of an old state kept the log from being emptied.
        if connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]:
            raise TransientError(
                "a reader keeps an old state of the database, so its log cannot be emptied.",
                where=database.address,
                fix="Stop long readers; the deletion goes on at the next start.",
            )
