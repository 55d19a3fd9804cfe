"""`nabi serve`: the chat server, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer

from nabi.cli.output import console
from nabi.errors import ConfigError


def serve(
    port: Annotated[int | None, typer.Option(help="default: NABI_SERVE_PORT, 8000")] = None,
    host: Annotated[str, typer.Option(help="where it listens; elsewhere than here only behind TLS")] = "127.0.0.1",
) -> None:
    """Answers chats over HTTP, as OpenAI's clients ask them.

    Tokens are made at the first start: chat.token and operator.token in the state folder's secrets.
    """
    import uvicorn

    from nabi.integrations.local_servers import port_is_taken
    from nabi.server.app import make_app
    from nabi.wiring import get_platform

    platform = get_platform()
    chosen = port or platform.settings.serve_port
    if port_is_taken(chosen):
        raise ConfigError(f"port {chosen} is taken.", fix="Stop what listens there, or choose another with --port.")
    app = make_app(platform)
    console.print(f"[bold]chat[/]  http://{host}:{chosen}/v1  (tokens: {platform.settings.state / 'secrets'})")
    uvicorn.run(app, host=host, port=chosen, log_level="warning", access_log=False, timeout_graceful_shutdown=30)
