"""A step that meets a lock is tried again and the run's page says what it waits for; bad data is not tried again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from ports import free_port

from nabi.integrations.credentials import load_or_create_credentials
from nabi.integrations.local_servers import prefect_server, serving
from nabi.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FLOWS = """\
import sqlite3
from prefect import flow
from nabi.errors import DataError
from tasks.resilience import step

tries = {"locked": 0, "broken": 0}

@step("read", of="{whom}", seconds=60)
def locked(whom: str) -> str:
    tries["locked"] += 1
    if tries["locked"] < 3:
        raise sqlite3.OperationalError("database is locked")
    return "read"

@step("parse", of="{whom}", seconds=60)
def broken(whom: str) -> None:
    tries["broken"] += 1
    raise DataError("the log is empty")

@flow(name="lock")
def meets_a_lock() -> str:
    return locked("nabiyam")

@flow(name="rubbish")
def meets_rubbish() -> None:
    broken("nabiyam")

assert meets_a_lock() == "read"
meets_rubbish(return_state=True)
print(tries)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lock_is_waited_for_in_sight_and_bad_data_is_not(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    server = prefect_server(settings, free_port())
    environment = {**os.environ, **server.environment, "NABI_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with serving(server, tmp_path / "logs"):
        done = subprocess.run(
            [sys.executable, "-c", FLOWS], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "{'locked': 3, 'broken': 1}" in done.stdout
        user, _, password = load_or_create_credentials(settings).prefect_auth.partition(":")
        with httpx.Client(base_url=server.url + "/api", auth=(user, password)) as client:
            runs = {run["name"]: run["id"] for run in _flow_runs(client)}
            states = client.get("/flow_run_states/", params={"flow_run_id": runs["lock"]}).json()
    waiting = [state for state in states if state["name"] == "Waiting"]
    assert len(waiting) == 2
    assert all("read: waiting since" in state["message"] for state in waiting)
    assert all("database is locked" in state["message"] for state in waiting)
    assert states[-1]["type"] == "COMPLETED"
    assert [state["message"] for state in states if state["message"] == "goes on"] == ["goes on"]


def _flow_runs(client: httpx.Client) -> list[dict[str, str]]:
    token = client.get("/csrf-token", params={"client": "tests"}).json()["token"]
    client.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "tests"})
    flows = {flow["id"]: flow["name"] for flow in client.post("/flows/filter", json={}).json()}
    runs = client.post("/flow_runs/filter", json={}).json()
    return [{"name": flows[run["flow_id"]], "id": run["id"]} for run in runs]
