"""Hypothesis as all tests use it; empty stores: nabi's database (SQLite, PostgreSQL where offered) and MLflow's."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import made_examples  # noqa: F401 - loads Hypothesis' profile before a test is collected
import pytest

from nabi.database.engine import Database, open_database
from nabi.settings import Settings

# Whoever works with an installation in this shell or folder must not find the tests' adapters live in it.
for _setting in Settings.model_fields.keys() - {"seed"}:
    os.environ.pop(f"NABI_{_setting.upper()}", None)
if Path("nabi.toml").exists():
    pytest.exit("nabi.toml lies here, and its databases are no place for tests; run them in a clone of their own", 4)

POSTGRES_URL = os.environ.get("NABI_TEST_POSTGRES_URL")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database; on PostgreSQL a schema of its own, dropped afterwards."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / 'nabi.db'}"
        return
    from sqlalchemy import create_engine, make_url, text

    offered = _offered_postgres()
    schema = f"nabi_test_{secrets.token_hex(4)}"
    server = create_engine(offered, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    url = make_url(offered).update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    server.dispose()


@pytest.fixture(scope="module")
def postgres_databases() -> Iterator[dict[str, str]]:
    """Three empty databases, one each for nabi, MLflow and Prefect, under the settings that name them; then dropped."""
    from sqlalchemy import create_engine, make_url, text

    offered = _offered_postgres()
    server = create_engine(offered, isolation_level="AUTOCOMMIT")
    drivers = {
        "NABI_DATABASE_URL": "postgresql+psycopg2",
        "NABI_MLFLOW_URI": "postgresql+psycopg2",
        "NABI_PREFECT_DATABASE_URL": "postgresql+asyncpg",
    }
    names = {setting: f"nabi_test_{secrets.token_hex(4)}" for setting in drivers}
    with server.connect() as connection:
        for name in names.values():
            connection.execute(text(f"CREATE DATABASE {name}"))
    yield {
        setting: make_url(offered).set(drivername=driver, database=names[setting]).render_as_string(hide_password=False)
        for setting, driver in drivers.items()
    }
    with server.connect() as connection:
        for name in names.values():
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def _offered_postgres() -> str:
    if not POSTGRES_URL:
        if os.environ.get("NABI_TEST_NO_SKIPS"):
            pytest.fail("CI must offer a PostgreSQL in NABI_TEST_POSTGRES_URL")
        pytest.skip("no PostgreSQL: set NABI_TEST_POSTGRES_URL to test on one")
    return POSTGRES_URL


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open, empty database."""
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in it: making them takes seconds, copying a file does not."""
    from nabi.integrations.mlflow_tracking import Tracker

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Tracker(f"sqlite:///{path}", path.parent / "mlruns").versions("nobody")
    return path
