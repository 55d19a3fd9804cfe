from __future__ import annotations

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from nabi.database.engine import Database
from nabi.database.schema import HEAD, MIGRATIONS, current_revision, migrate
from nabi.database.tables import Base


def config_for(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def test_the_migrations_make_exactly_the_declared_tables(database: Database) -> None:
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_head_names_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(config_for()).get_heads() == [HEAD]


def test_a_database_goes_down_to_nothing_and_up_again(database: Database) -> None:
    with database.write() as session:
        connection = session.connection()
        command.downgrade(config_for(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        migrate(connection)
        assert current_revision(connection) == HEAD
