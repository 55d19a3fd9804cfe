"""Which revision of the tables this code needs, and how a database gets there."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from nabi.errors import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"

HEAD = "0016"
"""The newest revision in `migrations/versions`; a test holds it to that."""

# Alembic keeps the running migration in module globals, so two threads must not run one at the same time.
_ONE_AT_A_TIME = threading.Lock()


def migrate(connection: Connection) -> None:
    """Bring the tables to `HEAD` inside the connection's open transaction.

    Raises:
        ConfigError: the database was made by a newer nabi.
    """
    # Imported here: most openings find the tables up to date and need no Alembic.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    current = current_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise ConfigError(
            f"the database has revision {current}, which this version of nabi does not know.",
            where=connection.engine.url.render_as_string(hide_password=True),
            fix="Update nabi, or open the database with the version that made it.",
        )
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, HEAD)


def current_revision(connection: Connection) -> str | None:
    """The revision a database stands at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
