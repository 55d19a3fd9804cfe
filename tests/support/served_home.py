"""A server over an installation with a minute base, for tests that talk to it over HTTP."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from waiting import PATIENCE_S, wait_until

from nabi.server.app import make_app
from nabi.settings import Settings
from nabi.wiring import Platform

PERSONAS = {
    "nabiyam": "name: 나비얌\nsystem_prompt: 짧게 답해요.\n",
    "mari": "name: 마리\nsystem_prompt: 선장처럼 답해요.\nuses_facts: false\n",
    "bare": "name: 아무도\nsystem_prompt: 짧게 답해요.\nuses_facts: false\n",
}


@dataclass(frozen=True)
class Served:
    """A running server. `digests`: adapter version → sha256 of its weights."""

    platform: Platform
    url: str
    digests: dict[str, str]

    def token(self, scope: str) -> str:
        return (self.platform.settings.state / "secrets" / f"{scope}.token").read_text()

    def headers(self, scope: str = "chat") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(scope)}"}


def make_home(home: Path, models: Path, **settings: Any) -> Platform:
    """Personas and settings of an installation; nothing is live in it."""
    (home / "personas").mkdir(parents=True)
    for persona_id, text in PERSONAS.items():
        (home / "personas" / f"{persona_id}.yaml").write_text(f"id: {persona_id}\n{text}")
    return Platform(Settings(home=home, models_dir=models, base_model="minute", threads=1, **settings))


def put_live(platform: Platform, version: str, adapter_dir: Path, digest: str) -> None:
    """Lays an adapter where the registry would, and makes it live."""
    persona_id = version.partition("--")[0]
    folder = platform.settings.adapters / persona_id / version
    if not folder.exists():
        shutil.copytree(adapter_dir, folder)
    platform.ledger.deploy(persona_id, version, digest, who="a test", why="a test")


@contextmanager
def serving(platform: Platform) -> Iterator[str]:
    """Runs a server over a platform; its address."""
    server = uvicorn.Server(uvicorn.Config(make_app(platform), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    assert server.started, "the server did not start"
    try:
        (listening,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
