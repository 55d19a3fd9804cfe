"""`nabi up` as a user starts it: both servers, one note of them, one way to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nabi.integrations.local_servers import free_port, port_is_taken

READY_SECONDS = 120


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    ports = {"NABI_PREFECT_PORT": str(free_port()), "NABI_MLFLOW_PORT": str(free_port())}
    return {**os.environ, "NABI_HOME": str(tmp_path), **ports}


@pytest.fixture
def running(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The platform, up."""
    with (tmp_path / "up.log").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "nabi.cli", "up"], env=environment, stdout=output)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while b"Ctrl-C" not in (tmp_path / "up.log").read_bytes():
            assert process.poll() is None, "nabi up ended by itself"
            assert time.monotonic() < deadline, "nabi up was not ready in time"
            time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def fetch(port: str, path: str) -> int:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": "text/html"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return int(answer.status)


@pytest.mark.slow
def test_both_servers_answer_a_second_up_says_so_and_ending_it_frees_the_ports(
    running: subprocess.Popen[bytes], environment: dict[str, str]
) -> None:
    ports = [environment["NABI_PREFECT_PORT"], environment["NABI_MLFLOW_PORT"]]
    assert fetch(ports[0], "/api/health") == 200
    assert fetch(ports[0], "/runs") == 200
    assert fetch(ports[1], "/health") == 200
    second = subprocess.run(
        [sys.executable, "-m", "nabi.cli", "up"], env=environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert "the platform is up already" in second.stderr
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 0
    assert not any(port_is_taken(int(port)) for port in ports)
