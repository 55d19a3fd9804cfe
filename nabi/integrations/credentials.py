"""Who may use this installation's servers: passwords made at the first start and kept in the state folder."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from nabi.secret_file import read_or_create
from nabi.settings import Settings

USER = "nabi"
_TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class Credentials:
    """Passwords of the servers. Never printed but to a terminal, never an argument of a command."""

    prefect_password: str
    mlflow_password: str
    mlflow_session_key: str

    @property
    def prefect_auth(self) -> str:
        """What Prefect's server and clients agree on, and what its login page asks for."""
        return f"{USER}:{self.prefect_password}"


def secrets_folder(settings: Settings) -> Path:
    return settings.state / "secrets"


def load_or_create_credentials(settings: Settings) -> Credentials:
    """This installation's passwords.

    Raises:
        ConfigError: a file cannot be read or written.
    """
    folder = secrets_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # MLflow keeps its users there too
    return Credentials(
        prefect_password=_password(folder / "prefect.password"),
        mlflow_password=_password(folder / "mlflow.password"),
        mlflow_session_key=_password(folder / "mlflow-session.key"),
    )


def _password(path: Path) -> str:
    return read_or_create(path, secrets.token_urlsafe(_TOKEN_BYTES).encode(), "the password").decode().strip()
