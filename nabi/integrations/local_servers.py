"""Prefect's and MLflow's servers as processes on this machine, bound to 127.0.0.1 and quiet.

Nothing is imported from either: they are started as commands and asked over HTTP whether they are ready.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from nabi.errors import ConfigError, TransientError
from nabi.integrations.credentials import USER, load_or_create_credentials, secrets_folder
from nabi.integrations.lifetime import end_with_the_parent
from nabi.secret_file import replace
from nabi.settings import Settings

HOST = "127.0.0.1"
RUNS_KEPT = timedelta(days=90)
"""How long Prefect remembers a run that ended; its own default, which it applies only when told to."""

_READY_SECONDS = 120.0
_STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Server:
    """A command that serves HTTP on 127.0.0.1. `port_setting` is the variable that gives it another port."""

    name: str
    port: int
    port_setting: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    health_path: str = "/"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def prefect_environment(settings: Settings, port: int) -> dict[str, str]:
    """What server and clients of this installation's Prefect share: state in our folder, no call to the outside."""
    home = settings.state / "prefect"
    auth = load_or_create_credentials(settings).prefect_auth
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Prefect keeps ended runs, their logs and artifacts for ever unless it is told otherwise.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(int(RUNS_KEPT.total_seconds())),
        "DO_NOT_TRACK": "1",
        # The second UI loads fonts from the outside; the first one is complete without a network.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}",
        # 2 + 4 + … + 512 seconds: requests of Prefect's own outlast a server that is away for a quarter of an hour.
        "PREFECT_CLIENT_MAX_RETRIES": "9",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "nabi",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
    }


def prefect_server(settings: Settings, port: int) -> Server:
    environment = prefect_environment(settings, port)
    if settings.prefect_database_url:
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = settings.prefect_database_url
    return Server(
        name="prefect",
        port=port,
        port_setting="NABI_PREFECT_PORT",
        command=(sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)),
        environment=environment,
        health_path="/api/health",
    )


def write_prefect_profile(settings: Settings, port: int) -> None:
    """Lets Prefect's own commands find and use this installation's server, once PREFECT_HOME names its folder."""
    clients = {
        name: value
        for name, value in prefect_environment(settings, port).items()
        if name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    }
    lines = ['active = "nabi"', "[profiles.nabi]", *(f'{name} = "{value}"' for name, value in clients.items())]
    replace(settings.state / "prefect" / "profiles.toml", "\n".join(lines) + "\n")


def mlflow_server(settings: Settings, port: int) -> Server:
    """MLflow's slim form, two processes instead of fifteen, behind a login.

    Passwords and database addresses go through the environment: arguments are for everybody to read.
    """
    options = {
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
        "--app-name": "basic-auth",
        "--artifacts-destination": str(settings.mlruns),
        "--allowed-hosts": f"{HOST}:{port},localhost:{port}",
        "--cors-allowed-origins": f"http://{HOST}:{port}",
    }
    arguments = [word for option in options.items() for word in option]
    credentials = load_or_create_credentials(settings)
    return Server(
        name="mlflow",
        port=port,
        port_setting="NABI_MLFLOW_PORT",
        command=(sys.executable, "-m", "mlflow", "server", *arguments, "--serve-artifacts"),
        environment={
            "MLFLOW_BACKEND_STORE_URI": settings.mlflow,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Its usage statistics, and those that its pages would send from the browser. DO_NOT_TRACK=1 does not do.
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": credentials.mlflow_session_key,
            "MLFLOW_AUTH_CONFIG_PATH": str(_mlflow_logins(settings)),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": credentials.mlflow_password,
        },
        health_path="/health",
    )


def chat_server(settings: Settings) -> Server:
    """`nabi serve`: it listens once the champions are loaded."""
    return Server(
        name="chat",
        port=settings.serve_port,
        port_setting="NABI_SERVE_PORT",
        command=(sys.executable, "-m", "nabi.cli", "serve", "--port", str(settings.serve_port)),
        health_path="/healthz",
    )


def _mlflow_logins(settings: Settings) -> Path:
    """MLflow's settings for logins, which it takes from a file. Who has no permission of its own sees nothing."""
    path = settings.state / "run" / "mlflow-auth.ini"
    path.parent.mkdir(parents=True, exist_ok=True)
    logins = secrets_folder(settings) / "mlflow-logins.db"
    path.write_text(
        "[mlflow]\n"
        "default_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{str(logins).replace('%', '%%')}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
        encoding="utf-8",
    )
    return path


def is_ready(server: Server) -> bool:
    try:
        with urllib.request.urlopen(server.url + server.health_path, timeout=2) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def serving(server: Server, logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server for the length of the block, ready when the block begins.

    Args:
        logs: folder for the server's own output.

    Raises:
        ConfigError: the port is taken.
        TransientError: the server died or did not become ready in two minutes; the message quotes its log.
    """
    if port_is_taken(server.port):
        raise ConfigError(
            f"port {server.port} is taken, so {server.name} cannot start",
            fix=f"Stop what listens there or set NABI_{server.name.upper()}_PORT.",
        )
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{server.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            server.command,
            env={**os.environ, **server.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its children can be stopped with it, and Ctrl-C reaches only us
            preexec_fn=end_with_the_parent,  # noqa: PLW1509  (it takes no lock that another thread might hold)
        )
    try:
        _wait_until_ready(server, process, log)
        yield process
    finally:
        stop(process)


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready(server):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise TransientError(f"{server.name} did not start. The end of {log}:\n{tail}")
        time.sleep(0.2)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the server and its children to end, and insists after 15 seconds."""
    for ask in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, ask)
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
