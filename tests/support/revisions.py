"""A database taken back to an earlier revision of its tables, to see what migrating makes of old rows."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from nabi.database.schema import MIGRATIONS


def downgrade(connection: Connection, revision: str) -> None:
    """Take the tables back to `revision`, e.g. "0007"."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.downgrade(config, revision)
