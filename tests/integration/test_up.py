"""`nabi up` as a user starts it: one platform, started once for most of what it must do, killed and started again."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from ports import free_port
from prefect.client.base import PrefectHttpxSyncClient
from sqlalchemy import create_engine, inspect
from waiting import PATIENCE_S, wait_for

from flows.deployments import run_command
from flows.work_pool import DEPLOYMENTS, LOOP, LOW, NORMAL, POOL, QUEUES, SLOTS, UPKEEP
from nabi.integrations.local_servers import port_is_taken
from nabi.integrations.running import processes_of
from nabi.settings import Settings

T = TypeVar("T")

READY_SECONDS = 300
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


class Installation:
    """A platform in a folder of its own, driven by the commands that a user has."""

    def __init__(self, home: Path, **more: str) -> None:
        self.home = home
        self.log = home / "up.log"
        self.prefect_port, self.mlflow_port, self.chat_port = free_port(), free_port(), free_port()
        ports = {
            "NABI_PREFECT_PORT": str(self.prefect_port),
            "NABI_MLFLOW_PORT": str(self.mlflow_port),
            "NABI_SERVE_PORT": str(self.chat_port),
        }
        # MLflow and Prefect hold their tongues by themselves where these say that they are being tested.
        left_out = ("NABI_", "PREFECT_", "MLFLOW_", "PYTEST_", "DO_NOT_TRACK", "CI", "GITHUB_ACTIONS")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        self.outside_calls = home / "outside-calls"
        watched = str(ROOT / "tests" / "support" / "outside_calls")
        self.environment = {
            **clean,
            **ports,
            "OUTSIDE_CALLS": str(self.outside_calls),
            "PYTHONPATH": os.pathsep.join(filter(None, (watched, clean.get("PYTHONPATH")))),
            **more,
            "NABI_HOME": str(home),
            "NABI_PERSONAS_DIR": str(ROOT / "personas"),
            "NABI_MODELS_DIR": str(ROOT / "models"),
        }
        self.settings = Settings(home=home)

    def up(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "nabi.cli", "up"], env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        wait_for(lambda: "Ctrl-C" in self.log.read_text() or process.poll() is not None, seconds=READY_SECONDS)
        assert process.poll() is None, f"nabi up ended by itself: {self.log.read_text()}"
        return process

    def nabi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nabi.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def programs(self) -> dict[str, dict[str, Any]]:
        shown = json.loads(self.nabi("status", "--json").stdout)
        return {program["process"]: program for program in shown["platform"]}

    def password(self, of: str) -> str:
        return (self.settings.state / "secrets" / f"{of}.password").read_text()

    def prefect(self, method: str, path: str, **body: Any) -> Any:
        """Prefect's API through its own client: with login, with a token against forged requests, and asked again
        where the server says 503, as it does when two writers meet in its SQLite database."""
        with PrefectHttpxSyncClient(
            base_url=f"http://127.0.0.1:{self.prefect_port}/api/",
            auth=("nabi", self.password("prefect")),
            enable_csrf_support=True,
            timeout=PATIENCE_S,
        ) as client:
            answer = client.request(method, path, json=body if method != "GET" else None)
        return answer.json() if answer.content else None

    def run_of(self, deployment: str) -> dict[str, Any]:
        """A run of a deployment, made now and waited for."""
        made = self.prefect("POST", f"deployments/{self.deployment(deployment)['id']}/create_flow_run")

        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = self.prefect("GET", f"flow_runs/{made['id']}")
            return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return wait_for(ended, seconds=READY_SECONDS)

    def pool_template(self) -> dict[str, Any]:
        found: dict[str, Any] = self.prefect("GET", f"work_pools/{POOL}")["base_job_template"]
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.prefect("GET", f"deployments/name/{name}")
        return found


def login(password: str) -> str:
    return "Basic " + base64.b64encode(f"nabi:{password}".encode()).decode()


def of_each_process(installation: Installation, look: Callable[[psutil.Process], T]) -> list[T]:
    """What is seen of each process of the platform; one that ends while it is looked at is left out."""
    seen = []
    for process in processes_of(installation.settings):
        with suppress(psutil.NoSuchProcess):
            seen.append(look(process))
    return seen


def status_of(port: int, path: str, **headers: str) -> int:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": "text/html", **headers})
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="module")
def up(installation: Installation) -> Iterator[subprocess.Popen[bytes]]:
    """The platform, up. The last test ends it; a failure before that does so here."""
    process = installation.up()
    yield process
    installation.nabi("down")


@pytest.mark.usefixtures("up")
def test_nobody_gets_in_without_a_password(installation: Installation) -> None:
    prefect, mlflow, chat = installation.prefect_port, installation.mlflow_port, installation.chat_port
    assert status_of(prefect, "/api/health") == 200
    assert status_of(prefect, "/runs") == 200, "the page itself is no secret; it asks for the login"
    assert status_of(prefect, "/api/flow_runs/00000000-0000-0000-0000-000000000000") == 401
    assert status_of(prefect, "/api/collections/views/aggregate-worker-metadata") == 401
    assert status_of(mlflow, "/") == 401
    wrong = {"Authorization": login("guess")}
    assert status_of(prefect, "/api/admin/version", **wrong) == 401
    assert status_of(mlflow, "/", **wrong) == 401
    assert status_of(prefect, "/api/admin/version", Authorization=login(installation.password("prefect"))) == 200
    assert status_of(mlflow, "/", Authorization=login(installation.password("mlflow"))) == 200
    assert status_of(chat, "/healthz") == 200
    assert status_of(chat, "/v1/models") == 401
    token = (installation.settings.state / "secrets" / "chat.token").read_text()
    assert status_of(chat, "/v1/models", Authorization=f"Bearer {token}") == 200


@pytest.mark.usefixtures("up")
def test_servers_refuse_other_hosts_and_origins(installation: Installation) -> None:
    right = {"Authorization": login(installation.password("mlflow"))}
    assert status_of(installation.mlflow_port, "/", Host="evil.example", **right) == 403
    asked = urllib.request.Request(
        f"http://127.0.0.1:{installation.prefect_port}/api/flow_runs/filter",
        method="OPTIONS",
        headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(asked, timeout=PATIENCE_S)
    listening = {
        connection.laddr.ip
        for connections in of_each_process(installation, lambda process: process.net_connections("tcp"))
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.usefixtures("up")
def test_passwords_are_for_the_owner_and_stand_in_no_log_and_no_command(installation: Installation) -> None:
    state = installation.settings.state
    secrets = {path for path in (state / "secrets").iterdir() if path.suffix in (".password", ".key", ".token")}
    assert len(secrets) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    told = [path.read_bytes() for path in (state / "logs").iterdir()]
    told += [installation.log.read_bytes(), (state / "run" / "supervisord.conf").read_bytes()]
    told += of_each_process(installation, lambda process: " ".join(process.cmdline()).encode())
    for secret in (path.read_bytes() for path in secrets):
        assert not any(secret in words for words in told)


@pytest.mark.usefixtures("up")
def test_a_second_up_says_that_it_is_up_and_where(installation: Installation) -> None:
    second = installation.nabi("up")
    assert second.returncode == 1
    assert "the platform is up already" in second.stderr
    assert f"http://127.0.0.1:{installation.prefect_port}" in second.stderr


@pytest.mark.usefixtures("up")
def test_the_doctor_knows_the_platform_for_its_own(installation: Installation) -> None:
    told = installation.nabi("doctor", "--json")
    assert told.returncode == 0, told.stdout
    (platform,) = [row["what"] for row in json.loads(told.stdout) if row["check"] == "platform"]
    assert re.fullmatch(r"up: prefect \(\d+ restarts\), mlflow .*, chat .*, control .*, worker .*", platform)


@pytest.mark.usefixtures("up")
def test_pool_queues_and_deployments_are_made(installation: Installation) -> None:
    assert installation.prefect("GET", f"work_pools/{POOL}")["concurrency_limit"] == SLOTS
    queues = installation.prefect("POST", f"work_pools/{POOL}/queues/filter")
    assert {queue["name"]: queue["priority"] for queue in queues if queue["name"] in QUEUES} == QUEUES
    assert all(queue["priority"] > max(QUEUES.values()) for queue in queues if queue["name"] not in QUEUES)
    found = {name: installation.deployment(name) for name in DEPLOYMENTS}
    assert {deployment["work_pool_name"] for deployment in found.values()} == {POOL}
    assert found["backfill/by-hand"]["work_queue_name"] == LOW
    assert found[LOOP]["work_queue_name"] == NORMAL
    (schedule,) = found[LOOP]["schedules"]
    assert (schedule["schedule"]["interval"], schedule["schedule"]["timezone"]) == (21600, "Asia/Seoul")


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (None, run_command()),
        ("/moved/setsid /moved/bin/python -m prefect.engine", run_command()),
        ("nice -n 5 python -m prefect.engine", "nice -n 5 python -m prefect.engine"),
    ],
)
def test_the_pool_learns_where_python_lies_now_and_keeps_a_command_of_a_persons(
    held: str | None, expected: str | None, installation: Installation
) -> None:
    made = installation.pool_template()
    assert made["variables"]["properties"]["command"]["default"] == run_command()
    template = copy.deepcopy(made)
    template["variables"]["properties"]["command"]["default"] = held
    installation.prefect("PATCH", f"work_pools/{POOL}", base_job_template=template)
    try:
        environment = {**installation.environment, "PREFECT_HOME": str(installation.settings.state / "prefect")}
        subprocess.run([sys.executable, "-m", "flows.deployments"], env=environment, cwd=ROOT, check=True)
        template["variables"]["properties"]["command"]["default"] = expected
        assert installation.pool_template() == template
    finally:
        installation.prefect("PATCH", f"work_pools/{POOL}", base_job_template=made)


@pytest.mark.usefixtures("up")
def test_a_run_goes_through_queue_and_worker(installation: Installation) -> None:
    run = installation.run_of(UPKEEP)
    assert (run["state_type"], run["work_pool_name"]) == ("COMPLETED", POOL), run["state"]["message"]


@pytest.mark.usefixtures("up")
def test_deploy_all_writes_prefects_own_file_over_what_is_there(installation: Installation) -> None:
    """The command that the documentation gives; address and login come from the state folder."""
    loop = installation.deployment(LOOP)
    installation.prefect("PATCH", f"deployments/{loop['id']}", description="edited in the pages")
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        env={**installation.environment, "PREFECT_HOME": str(installation.settings.state / "prefect")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    written = installation.deployment(LOOP)
    assert (written["id"], written["description"]) == (loop["id"], "The continuous-learning loop for every persona")
    assert {schedule["schedule"]["interval"] for schedule in written["schedules"]} == {21600}
    assert {installation.deployment(name)["work_pool_name"] for name in DEPLOYMENTS} == {POOL}


@pytest.mark.usefixtures("up")
def test_nothing_is_asked_of_the_outside(installation: Installation) -> None:
    """Servers, chat, worker and a run are at work since the first test; a page of MLflow's asks what it may report."""
    right = {"Authorization": login(installation.password("mlflow"))}
    assert status_of(installation.mlflow_port, "/ajax-api/3.0/mlflow/ui-telemetry", **right) == 200
    assert not installation.outside_calls.exists(), installation.outside_calls.read_text()
    asks = "import socket; socket.getaddrinfo('192.0.2.1', 80)"
    subprocess.run([sys.executable, "-c", asks], env=installation.environment, check=True)
    noted = installation.outside_calls.read_text()
    assert noted.startswith("192.0.2.1 asked for by"), "the watch itself sees what there is to see"
    installation.outside_calls.unlink()


@pytest.mark.usefixtures("up")
def test_what_is_killed_comes_back(installation: Installation) -> None:
    before = installation.programs()
    for name in ("worker", "mlflow"):
        os.kill(before[name]["pid"], signal.SIGKILL)

    def again() -> dict[str, dict[str, Any]] | None:
        now = installation.programs()
        back = all(now[name]["pid"] not in (None, before[name]["pid"]) for name in ("worker", "mlflow"))
        return now if back else None

    after = wait_for(again)
    waits = restart_waits(installation)
    print("started again after", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in waits.items()))
    assert max(waits.values()) < 3
    assert {name: program["restarts"] for name, program in after.items()} == {
        name: int(name in ("worker", "mlflow")) for name in after
    }
    wait_for(lambda: _reachable(installation.mlflow_port), seconds=READY_SECONDS)


def restart_waits(installation: Installation) -> dict[str, float]:
    """Seconds from the end of each program to its next start, as the supervisor noted them."""
    line = re.compile(r"^(\S+ \S+) \w+ (exited|spawned): '?(\w+)")
    ended: dict[str, datetime] = {}
    waits: dict[str, float] = {}
    for found in map(line.match, (installation.settings.state / "logs" / "supervisord.log").read_text().splitlines()):
        if found:
            moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f")
            if found[2] == "exited":
                ended[found[3]] = moment
            elif found[3] in ended:
                waits[found[3]] = (moment - ended[found[3]]).total_seconds()
    return waits


def _reachable(port: int) -> bool:
    return port_is_taken(port) and status_of(port, "/health") == 200


@pytest.mark.usefixtures("up")
def test_it_is_small_before_any_training(installation: Installation) -> None:
    sizes = of_each_process(
        installation, lambda process: (process.memory_full_info().pss / 2**20, " ".join(process.cmdline()[1:])[:80])
    )
    for size, what in sizes:
        print(f"{size:5.0f} MiB  {what}")
    print(f"{sum(size for size, _what in sizes):5.0f} MiB in all")
    assert sum(size for size, _what in sizes) < 1400, (
        "the goal is 1 GB; this only notices a server that grew its workers again"
    )


def test_a_supervisor_that_is_killed_is_replaced(installation: Installation, up: subprocess.Popen[bytes]) -> None:
    (supervisord,) = psutil.Process(up.pid).children()
    before = {process.pid for process in processes_of(installation.settings)}
    supervisord.kill()
    wait_for(lambda: "everything is up again" in installation.log.read_text(), seconds=READY_SECONDS)
    assert before.isdisjoint(process.pid for process in processes_of(installation.settings))
    assert installation.prefect("GET", f"work_pools/{POOL}")["name"] == POOL


def test_after_a_kill_of_all_the_next_start_finds_what_is_left_and_a_schedule_as_it_was_edited(
    installation: Installation, up: subprocess.Popen[bytes]
) -> None:
    loop = installation.deployment(LOOP)
    edited = {"interval": 7200, "timezone": "Asia/Seoul"}
    schedule = f"deployments/{loop['id']}/schedules/{loop['schedules'][0]['id']}"
    installation.prefect("PATCH", schedule, schedule=edited, active=False)
    # Both at once, so that nobody is left to end the servers.
    left = psutil.Process(up.pid).children(recursive=True)
    for process in (psutil.Process(up.pid), *psutil.Process(up.pid).children()):
        process.kill()
    up.wait(timeout=PATIENCE_S)
    assert port_is_taken(installation.prefect_port), "the server is an orphan now"

    again = installation.up()
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in left)
    (kept,) = installation.deployment(LOOP)["schedules"]
    assert (kept["schedule"]["interval"], kept["active"]) == (7200, False)

    assert installation.nabi("down").returncode == 0
    assert again.wait(timeout=PATIENCE_S) == 0
    stopped = re.findall(r"stopped: (\w+)", (installation.settings.state / "logs" / "supervisord.log").read_text())
    assert stopped[0] == "worker"
    assert stopped[-1] == "prefect", "whatever ends can still tell it so"
    assert processes_of(installation.settings) == []
    assert not port_is_taken(installation.prefect_port)
    assert not port_is_taken(installation.mlflow_port)
    assert "not up" in installation.nabi("status").stdout


def test_it_runs_on_postgresql(tmp_path: Path, postgres_databases: dict[str, str]) -> None:
    """Three addresses in the settings, and nothing of any of the three lies in files."""
    installation = Installation(tmp_path, **postgres_databases)
    installation.up()
    try:
        run = installation.run_of(UPKEEP)
        assert run["state_type"] == "COMPLETED", run["state"]["message"]
        assert status_of(installation.mlflow_port, "/", Authorization=login(installation.password("mlflow"))) == 200
        assert _has_table(postgres_databases["NABI_DATABASE_URL"], "conversations")
        assert _has_table(postgres_databases["NABI_MLFLOW_URI"], "experiments")
        assert not list(installation.settings.state.rglob("nabi.db"))
        assert not list(installation.settings.state.rglob("mlflow.db"))
        assert not list(installation.settings.state.rglob("prefect.db"))
    finally:
        assert installation.nabi("down").returncode == 0
    assert processes_of(installation.settings) == []


def _has_table(url: str, table: str) -> bool:
    engine = create_engine(url)
    try:
        return inspect(engine).has_table(table)
    finally:
        engine.dispose()
