"""The only module that uses Supervisor: programs started in order, restarted when they die, stopped in reverse."""

from __future__ import annotations

import configparser
import http.client
import os
import re
import shlex
import subprocess
import sys
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport

from nabi.errors import ConfigError, TransientError
from nabi.integrations.lifetime import end_with_the_parent

_MAX_SOCKET_PATH = 100  # the kernel's limit is 107 bytes, and Supervisor adds its pid while it makes the socket
_SPAWNED = re.compile(r"spawned: '([^']+)' with pid")


@dataclass(frozen=True, slots=True)
class Program:
    """A command that is to run for as long as the platform is up.

    Args:
        stop_seconds: how long it may take to end before it is killed.
    """

    name: str
    command: tuple[str, ...]
    stop_seconds: int = 10


@dataclass(frozen=True, slots=True)
class ProgramState:
    """A program as the supervisor sees it. `state` is Supervisor's word: RUNNING, BACKOFF, STOPPED …"""

    name: str
    state: str
    pid: int | None
    since: datetime | None
    restarts: int
    told: str


class Supervisor:
    """supervisord of one installation.

    Args:
        run: folder for the socket and the configuration; made readable by the owner only.
        logs: folder for what the programs print.
    """

    def __init__(self, run: Path, logs: Path) -> None:
        self.logs = logs
        self._run = run
        self._socket = run / "supervisor.sock"
        self._log = logs / "supervisord.log"
        if len(os.fsencode(self._socket)) > _MAX_SOCKET_PATH:
            raise ConfigError(
                f"the path of the state folder is too long for a socket: {self._socket}",
                fix="Choose a shorter one with NABI_STATE_DIR.",
            )

    def start(
        self, programs: Sequence[Program], environment: Mapping[str, str], folder: Path
    ) -> subprocess.Popen[bytes]:
        """Starts supervisord with the programs, all of them still stopped.

        Args:
            programs: in the order of their start; they are stopped in the reverse order.
            environment: the whole environment of the programs. It is handed on, never written down.
            folder: working folder of the programs.
        """
        self._run.mkdir(parents=True, exist_ok=True)
        self._run.chmod(0o700)
        self.logs.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)  # restarts are counted in it, from this start on
        configuration = self._run / "supervisord.conf"
        with configuration.open("w", encoding="utf-8") as file:
            self._configured(programs, folder).write(file)
        with self._log.open("ab") as output:
            return subprocess.Popen(
                (sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(configuration)),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches only us
                preexec_fn=end_with_the_parent,  # noqa: PLW1509  (it takes no lock that another thread might hold)
            )

    def start_program(self, name: str) -> None:
        """Has a program started; does not wait until it is of use."""
        with self._asked() as supervisord:
            supervisord.startProcess(name, False)

    def states(self) -> list[ProgramState]:
        """Every program in the order of its start.

        Raises:
            TransientError: supervisord does not answer.
        """
        with self._asked() as supervisord:
            told = cast(list[dict[str, Any]], supervisord.getAllProcessInfo())
            order = {program["name"]: program["process_prio"] for program in supervisord.getAllConfigInfo()}
        starts = self._starts()
        return [
            ProgramState(
                name=program["name"],
                state=program["statename"],
                pid=program["pid"] or None,
                since=datetime.fromtimestamp(program["start"], UTC) if program["pid"] else None,
                restarts=max(0, starts[program["name"]] - 1),
                told=program["spawnerr"] or program["description"],
            )
            for program in sorted(told, key=lambda program: order[program["name"]])
        ]

    def answers(self) -> bool:
        try:
            with self._asked() as supervisord:
                return bool(supervisord.getState()["statename"] == "RUNNING")
        except TransientError:
            return False

    def _starts(self) -> Counter[str]:
        """How often each program was started. Supervisor does not count; its log tells."""
        try:
            return Counter(_SPAWNED.findall(self._log.read_text(encoding="utf-8", errors="replace")))
        except FileNotFoundError:
            return Counter()

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._socket}")
        try:
            # The address is a formality: the transport talks to the socket.
            yield xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise TransientError(f"the supervisor did not answer: {error}", where=str(self._socket)) from error
        finally:
            transport.close()

    def _configured(self, programs: Sequence[Program], folder: Path) -> configparser.RawConfigParser:
        parser = configparser.RawConfigParser()
        parser["supervisord"] = {
            "logfile": _literal(self._log),
            "logfile_maxbytes": "0",
            "pidfile": _literal(self._run / "supervisord.pid"),
            "childlogdir": _literal(self.logs),
            "directory": _literal(folder),
            "nodaemon": "true",
            "silent": "true",
            "user": str(os.getuid()),  # else it warns every root user that it will not drop privileges
        }
        parser["unix_http_server"] = {"file": _literal(self._socket), "chmod": "0600"}
        parser["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        for position, program in enumerate(programs):
            parser[f"program:{program.name}"] = {
                "command": _literal(shlex.join(program.command)),
                "priority": str(10 + position),
                "autostart": "false",
                "autorestart": "true",
                # A program that dies within five seconds is tried again after 1, 2, 3 … seconds, without an end.
                "startsecs": "5",
                "startretries": "1000000",
                "stopsignal": "TERM",
                "stopwaitsecs": str(program.stop_seconds),
                "stopasgroup": "true",
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": _literal(self.logs / f"{program.name}.log"),
                "stdout_logfile_maxbytes": "10MB",
                "stdout_logfile_backups": "3",
            }
        return parser


def _literal(value: object) -> str:
    """Supervisor expands %(…)s in every value."""
    return str(value).replace("%", "%%")
