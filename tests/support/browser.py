"""A page in a real browser: Chromium, without a window, steered by its DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import PATIENCE_S, wait_until
from websockets.sync.client import connect
from websockets.sync.connection import Connection

_PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = ("--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


class Page:
    """One tab. `errors` gathers what its scripts threw and what the browser refused to load."""

    def __init__(self, socket: Connection) -> None:
        self._socket = socket
        self._asked = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            heard = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if heard.get("id") == self._asked:
                assert "error" not in heard, heard
                return dict(heard["result"])
            if heard.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(heard["params"]["exceptionDetails"]))
            if heard.get("method") == "Log.entryAdded" and heard["params"]["entry"]["level"] == "error":
                self.errors.append(heard["params"]["entry"]["text"])

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url="about:blank")  # another fragment alone would not load the page anew
        self.ask("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def value(self, script: str) -> Any:
        """What an expression gives in the page."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Waits until an expression is true in the page."""
        wait_until(lambda: self.value(script), what=f"{script}; {self.errors}", look_every=0.05)

    def press(self, key: str) -> None:
        """A key, as a person presses it; single characters type themselves."""
        typed = {"text": key} if len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **typed)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)


@contextmanager
def browser_page(profile: Path) -> Iterator[Page]:
    """A browser with an empty profile of its own, gone afterwards; the test is left out where there is none."""
    if _PATH is None:
        if os.environ.get("NABI_TEST_NO_SKIPS"):
            pytest.fail("CI must have a Chromium")
        pytest.skip("there is no Chromium here")
    # Root has no sandbox; only our own pages are opened.
    command = [_PATH, *_QUIET, "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told = profile / "DevToolsActivePort"
        wait_until(lambda: process.poll() is not None or (told.exists() and told.read_text().strip()))
        assert process.poll() is None, f"the browser ended with {process.returncode}"
        port = told.read_text().split()[0]
        tab = httpx.put(f"http://127.0.0.1:{port}/json/new?about:blank", timeout=PATIENCE_S).json()
        with connect(tab["webSocketDebuggerUrl"], max_size=None, open_timeout=PATIENCE_S) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
