"""`nabi up`: Prefect's and MLflow's pages on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import ExitStack

from rich.console import Console

from nabi.errors import ConfigError
from nabi.integrations.local_servers import mlflow_server, note_running, prefect_server, running_servers, serving
from nabi.settings import get_settings

console = Console()


def up() -> None:
    """Starts the servers, prints their addresses and waits."""
    settings = get_settings()
    if running := running_servers(settings):
        raise ConfigError("the platform is up already: " + ", ".join(f"{name} {url}" for name, url in running.items()))
    servers = [prefect_server(settings, settings.prefect_port), mlflow_server(settings, settings.mlflow_port)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        for server in servers:
            console.print(f"starting {server.name} …")
            stack.enter_context(serving(server, settings.state / "logs"))
        note = note_running(settings, {server.name: server.url for server in servers})
        stack.callback(note.unlink)
        for server in servers:
            console.print(f"[bold]{server.name:8}[/] {server.url}")
        console.print("Ctrl-C stops everything.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            console.print("stopping …")
