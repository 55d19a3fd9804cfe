"""The programs of one installation on one machine: in which order they start, what each needs, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from flows.work_pool import POOL
from nabi.cli.output import console
from nabi.cli.stopping import PlannedStop
from nabi.errors import ConfigError, NabiError, TransientError
from nabi.integrations.credentials import USER, load_or_create_credentials, secrets_folder
from nabi.integrations.local_servers import (
    Server,
    chat_server,
    is_ready,
    mlflow_server,
    port_is_taken,
    prefect_server,
    write_prefect_profile,
)
from nabi.integrations.running import end_processes, forget_up, mark, note_up, run_folder
from nabi.integrations.supervisor import Program, Supervisor
from nabi.settings import Settings

_READY_SECONDS = 300.0  # a minute on a free machine; a busy one gets its time
_GRACE_SECONDS = 10.0
STOP_SECONDS = 90.0  # all programs one after the other, each with its own limit
_LONGEST_PAUSE = 30.0


class LocalPlatform:
    """The programs of one installation and how they come and go."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = [prefect_server(settings, settings.prefect_port)]
        if not settings.mlflow.startswith("http"):  # else it is somebody else's server that we use
            self._servers.append(mlflow_server(settings, settings.mlflow_port))
        self._servers.append(chat_server(settings))
        self._supervisor = Supervisor(run_folder(settings), settings.state / "logs")
        worker = (sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", os.uname().nodename)
        # In the order of their start; they are stopped in the reverse order.
        self._programs = (
            *(Program(server.name, server.command, stop_seconds=15) for server in self._servers),
            Program("control", (sys.executable, "-m", "flows.control"), stop_seconds=15),
            Program("worker", worker, stop_seconds=15),
        )
        self._environment = {
            **os.environ,
            **{name: value for server in self._servers for name, value in server.environment.items()},
            # Runs start in a folder of their own; they find the installation by this.
            "NABI_HOME": str(settings.home.resolve()),
            # Ten seconds otherwise, in which free slots stay empty.
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            **mark(settings),
        }

    def run(self) -> None:
        """Until somebody asks for the end. A supervisor that dies is replaced, and what it left behind is ended."""
        note_up(self._settings, self._addresses, ready=False)
        write_prefect_profile(self._settings, self._settings.prefect_port)
        supervisord: subprocess.Popen[bytes] | None = None
        begun = time.monotonic()
        try:
            if num := end_processes(self._settings, grace_seconds=_GRACE_SECONDS):
                console.print(f"ended {num} processes that an earlier start had left behind")
            self._check_ports()
            supervisord = self._start_supervisor()
            self._bring_up(supervisord)
            note_up(self._settings, self._addresses, ready=True)
            self._tell(time.monotonic() - begun)
            while True:
                code = supervisord.wait()
                console.print(f"the supervisor ended ({code}); starting everything again …")
                supervisord = self._begin_again()
        finally:
            console.print("stopping …")
            self._end(supervisord)
            forget_up(self._settings)

    @property
    def _addresses(self) -> dict[str, str]:
        return {server.name: server.url for server in self._servers}

    def _check_ports(self) -> None:
        for server in self._servers:
            if port_is_taken(server.port):
                raise ConfigError(
                    f"port {server.port} is taken, so {server.name} cannot start",
                    fix=f"Stop what listens there or set {server.port_setting}.",
                )

    def _start_supervisor(self) -> subprocess.Popen[bytes]:
        return self._supervisor.start(self._programs, self._environment, self._settings.home)

    def _bring_up(self, supervisord: subprocess.Popen[bytes]) -> None:
        """Servers first; then what runs need on them; the worker last, when there is something to work for."""
        self._wait("the supervisor", supervisord, self._supervisor.answers)
        for server in self._servers:
            console.print(f"starting {server.name} …")
            self._supervisor.start_program(server.name)
        prefect, *others = self._servers
        self._wait_for(prefect, supervisord)
        console.print("making the work pool and its deployments …")
        _run([sys.executable, "-m", "flows.deployments"], self._environment, self._supervisor.logs / "deployments.log")
        console.print("starting the control loop and the worker …")
        beat = run_folder(self._settings) / "control.beat"
        beat.unlink(missing_ok=True)
        self._supervisor.start_program("control")
        # Its first look sorts out what an earlier end left behind; no run may begin before.
        self._wait("the control loop", supervisord, beat.exists)
        self._supervisor.start_program("worker")
        for server in others:  # last: no run needs them
            self._wait_for(server, supervisord)

    def _wait_for(self, server: Server, supervisord: subprocess.Popen[bytes]) -> None:
        self._wait(server.name, supervisord, lambda: is_ready(server))

    def _wait(self, name: str, supervisord: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if supervisord.poll() is not None or time.monotonic() > deadline:
                raise TransientError(f"{name} did not start", fix=f"Its own words are in {self._supervisor.logs}.")
            time.sleep(0.2)

    def _begin_again(self) -> subprocess.Popen[bytes]:
        pause = 1.0
        while True:
            end_processes(self._settings, grace_seconds=_GRACE_SECONDS)
            supervisord = self._start_supervisor()
            try:
                self._bring_up(supervisord)
            except NabiError as error:
                console.print(f"{error}; again in {pause:.0f} s", style="red", markup=False)
                _end_process(supervisord)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                console.print("everything is up again")
                return supervisord

    def _end(self, supervisord: subprocess.Popen[bytes] | None) -> None:
        """The programs in the reverse order of their start, then whatever of theirs is still there."""
        stop = PlannedStop(self._settings)
        stop.note_runs()
        if supervisord is not None:
            _end_process(supervisord, meanwhile=stop.note_runs)
        end_processes(self._settings, grace_seconds=1)

    def _tell(self, seconds: float) -> None:
        console.print(f"ready after {seconds:.0f} s")
        for server in self._servers:
            console.print(f"[bold]{server.name:8}[/] {server.url}")
        folder = secrets_folder(self._settings)
        if console.is_terminal:
            credentials = load_or_create_credentials(self._settings)
            console.print(f"[bold]login[/]    prefect: {credentials.prefect_auth}", markup=True)
            console.print(f"         mlflow: {USER} / {credentials.mlflow_password}")
        else:
            # What is piped ends up in a log; passwords do not.
            console.print(f"login    the passwords lie in {folder}, the user is {USER}")
        console.print(f"         chat: the tokens lie in {folder} (chat.token, operator.token)")
        console.print(f"console  http://127.0.0.1:{self._settings.serve_port}/console: what is live, and the way back")
        console.print("Ctrl-C stops everything.")


def _end_process(process: subprocess.Popen[bytes], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Asks a process to end and insists after `STOP_SECONDS`; `meanwhile` is called a few times a second."""
    process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        meanwhile()
        time.sleep(0.2)


def _run(command: list[str], environment: Mapping[str, str], log: Path) -> None:
    """Runs a command to its end.

    Raises:
        TransientError: it failed; the message quotes the end of its log.
    """
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise TransientError(f"`{' '.join(command[1:])}` failed. The end of {log}:\n{tail}")
