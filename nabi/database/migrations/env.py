"""How Alembic runs nabi's migrations: on the connection it is given, or on `NABI_DATABASE_URL` from its own CLI.

The CLI is only for writing a new revision: `alembic -c nabi/database/migrations/alembic.ini revision --autogenerate`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from nabi.database.tables import Base
from nabi.settings import get_settings


def run_on(connection: Connection) -> None:
    """Run what is asked for in the connection's transaction; one is begun when there is none."""
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run_on(given)
else:
    with create_engine(get_settings().database).begin() as own:
        run_on(own)
