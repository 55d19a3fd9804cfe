"""A server that speaks OpenAI's chat interface and answers by a rule, for tests of who asks it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[dict[str, Any]], "str | int | bytes"]
"""The request's body → what the answer says, a status to fail with, or the bytes of a whole body."""


@dataclass
class RuledServer:
    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)


@contextmanager
def ruled_server(rule: Rule) -> Iterator[RuledServer]:
    """Runs one on a free port."""
    served = RuledServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.asked.append(body)
            served.tokens.append(self.headers["Authorization"])
            said = rule(body) if self.path == "/v1/chat/completions" else 404
            status, content = (said, b"{}") if isinstance(said, int) else (200, _body(said))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked has waited long enough
                self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def _body(said: str | bytes) -> bytes:
    if isinstance(said, bytes):
        return said
    return json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": said}}]}).encode()
