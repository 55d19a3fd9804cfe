"""A whole platform in miniature: real server, worker, control loop and flows; personas so small that a training takes
a second.

The parts are processes of their own that a test may kill one by one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from ports import free_port
from waiting import wait_until

from nabi.conversations.records import Consent, Conversation, Message
from nabi.integrations.local_servers import is_ready, prefect_server
from nabi.integrations.running import forget_up, mark, note_up, only_one
from nabi.settings import Settings
from nabi.wiring import Platform

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)

_PERSONA = """\
id: {id}
name: {id}
system_prompt: 짧게.
uses_facts: false
base_model: {base}
limits: {{min_new_samples: 5, max_trainings_per_day: {daily}}}
recipe: {{preset: low-memory, epochs: 1}}
curation: {{small_dataset: 2000}}
evaluation:
  anchors: 10
  min_prompts: 10
  max_answer_chars: 300
  weights: {{grounded: 0.0, style: 0.5, likelihood: 0.3, form: 0.2}}
style: {{endings: ['요[.!]*$']}}
"""


def plant_small_home(home: Path, *personas: str, base: Path, daily: int = 4, num: int = 40) -> Platform:
    """Personas with a few dozen conversations each, spread over the day before NOON."""
    platform = Platform(Settings(home=home, threads=1))
    folder = platform.settings.personas
    folder.mkdir(parents=True)
    for persona in personas:
        (folder / f"{persona}.yaml").write_text(_PERSONA.format(id=persona, base=base, daily=daily))
        platform.store.add([_conversation(persona, number, num) for number in range(num)])
    return platform


def _conversation(persona: str, number: int, num: int) -> Conversation:
    return Conversation(
        conversation_id=f"{persona}-{number:03}",
        persona_id=persona,
        source="chat",
        occurred_at=NOON - timedelta(days=1) * (num - number) / num,
        messages=(
            Message(role="user", content=f"{_word(number)} {_word(number * 7 + 3)} 있어요?"),
            Message(role="assistant", content=f"네, {_word(number * 3 + 1)}하고 {_word(number * 5 + 2)} 준비했어요."),
        ),
        user_key=f"{number:064x}",
        consent=Consent(training=True, given_at=NOON - timedelta(days=2)),
    )


def _word(number: int) -> str:
    """A made-up word of two syllables, another one for each number."""
    return "".join(chr(0xAC00 + 28 * ((number * step + 11) % 399)) for step in (37, 101))


@dataclass
class SmallPlatform:
    """The processes of one installation, by name."""

    home: Path
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    settings_environment: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, threads=1)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process; a setting that is None is left out."""
        told = {
            **os.environ,
            **prefect_server(self.settings, self.port).environment,
            "NABI_HOME": str(self.home),
            "NABI_THREADS": "1",
            **mark(self.settings),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            # What the tests' own work makes of this machine is not what they are about.
            "NABI_MAX_CPU": "100",
            "NABI_MAX_MEMORY": "100",
            **self.settings_environment,
        }
        return {name: value for name, value in told.items() if value is not None}

    def start(self, *names: str) -> None:
        """Starts processes that do not run; the server is ready afterwards."""
        for name in names:
            if name in self.processes and self.processes[name].poll() is None:
                continue
            log = self.home / "logs" / f"{name}.log"
            log.parent.mkdir(exist_ok=True)
            with log.open("ab") as output:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *_COMMANDS[name.rstrip("0123456789")](self.port)],
                    env=self.environment,
                    cwd=ROOT,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            if name == "server":
                wait_until(lambda: is_ready(prefect_server(self.settings, self.port)), 400)

    def kill(self, *names: str) -> None:
        """Kill -9, without a word to anybody; children are left as orphans, as the kernel does it."""
        for name in names:
            self.processes[name].kill()
            self.processes[name].wait()

    def end_worker(self, grace_seconds: float) -> None:
        """Asks the worker to end, kills it after a while, and ends what it left behind: as `nabi up` does."""
        worker = self.processes["worker"]
        for ask in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):  # the whole group has ended
                os.killpg(worker.pid, ask)
            with suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=grace_seconds)
        for process in self.flow_processes():
            process.kill()

    def flow_processes(self) -> list[psutil.Process]:
        """The processes that run a flow of this installation."""
        return [process for process in self._all() if "PREFECT__FLOW_RUN_ID" in _environment_of(process)]

    def _all(self) -> list[psutil.Process]:
        return [p for p in psutil.process_iter() if _environment_of(p).get("NABI_HOME") == str(self.home)]

    def stop(self) -> None:
        """Ends everything of this installation, orphans included."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        psutil.wait_procs([psutil.Process(p.pid) for p in self.processes.values() if p.poll() is None], timeout=10)
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        for orphan in self._all():
            if orphan.pid != os.getpid():
                orphan.kill()

    def nabi(self, *arguments: str, expect: int | None = 0) -> str:
        """One command of the installation's."""
        done = subprocess.run(
            [sys.executable, "-m", "nabi.cli", *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert expect is None or done.returncode == expect, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def make_deployments(self) -> None:
        """The work pool, its queues and the deployments."""
        code = "from flows.deployments import ensure_all; ensure_all()"
        subprocess.run([sys.executable, "-c", code], env=self.environment, cwd=ROOT, check=True)

    @contextmanager
    def found_by_commands(self) -> Iterator[None]:
        """Lets commands find the server, as `nabi up` does."""
        with only_one(self.settings):
            note_up(self.settings, {"prefect": f"http://127.0.0.1:{self.port}"}, ready=True)
            yield
            forget_up(self.settings)


_COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "server": lambda port: ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
    "worker": lambda _port: ["prefect", "worker", "start", "--pool", "nabi", "--name", os.uname().nodename],
    "control": lambda _port: ["flows.control"],
}


@contextmanager
def small_platform(home: Path, **settings: str | None) -> Iterator[SmallPlatform]:
    """A platform with server and deployments; what else is to run is started by the test."""
    platform = SmallPlatform(home, settings_environment=settings)
    try:
        platform.start("server")
        platform.make_deployments()
        yield platform
    finally:
        platform.stop()


@contextmanager
def prefect_client(up: SmallPlatform) -> Iterator[Any]:
    """Prefect's client for a platform's server."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    found = {key: up.environment[key.name] for key in (PREFECT_API_AUTH_STRING, PREFECT_API_URL)}
    with temporary_settings(found), get_client(sync_client=True) as client:
        yield client


def _environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return {}
