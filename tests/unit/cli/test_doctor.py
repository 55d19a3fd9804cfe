"""`nabi doctor` about the platform: it tells its own installation from another one and from somebody else's program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nabi.cli.look import _platform
from nabi.errors import NabiError
from nabi.integrations.local_servers import free_port
from nabi.integrations.running import MARK, forget_up, note_up, only_one
from nabi.settings import Settings

LISTEN = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listens", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, prefect_port=free_port(), mlflow_port=free_port(), serve_port=free_port())


@contextmanager
def listener(port: int, state: Path | None) -> Iterator[None]:
    """A process on a port: a program of the installation with that state folder, or of nobody's."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    if state:
        environment[MARK] = str(state)
    command = [sys.executable, "-c", LISTEN, str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def test_free_ports_are_free_for_it(settings: Settings) -> None:
    assert _platform(settings).startswith("not up; ports ")


def test_servers_that_its_own_earlier_start_left_behind_are_nothing_missing(settings: Settings) -> None:
    with listener(settings.mlflow_port, settings.state):
        told = _platform(settings)
    assert f"servers of an earlier start have port {settings.mlflow_port} (NABI_MLFLOW_PORT)" in told


def test_another_installations_platform_is_named_by_its_folder(settings: Settings, tmp_path: Path) -> None:
    with listener(settings.prefect_port, tmp_path / "elsewhere"), pytest.raises(NabiError) as error:
        _platform(settings)
    assert f"the platform of {tmp_path / 'elsewhere'} listens on port {settings.prefect_port}" in str(error.value)


def test_somebody_elses_program_on_a_port_is_missing_room(settings: Settings) -> None:
    with listener(settings.prefect_port, None), pytest.raises(NabiError) as error:
        _platform(settings)
    assert f"somebody listens on port {settings.prefect_port} (NABI_PREFECT_PORT)" in str(error.value)


def test_a_platform_that_is_being_started_is_nothing_missing(settings: Settings) -> None:
    with only_one(settings):
        note_up(settings, {}, ready=False)
        assert _platform(settings).startswith("`nabi up` is starting it")
        forget_up(settings)
