"""Makes what runs need on a Prefect server: the work pool, its queues, and the deployments of `prefect.yaml`.

Run as `python -m flows.deployments`. What a person changed in the pages stays: a deployment that exists keeps its
schedule, its parameters and its queue, and only learns anew where the code lies.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from flows.work_pool import DEPLOYMENTS, POOL, QUEUES, SLOTS

ROOT = Path(__file__).resolve().parent.parent
_ENGINE = ("-m", "prefect.engine")  # arguments of Python


def ensure_all() -> None:
    """Makes pool, queues and deployments that are missing; leaves those that exist to whoever edits them."""
    with get_client(sync_client=True) as client:
        ensure_pool(client)
        missing = [name for name in DEPLOYMENTS if not _refreshed(client, name)]
    if missing:
        names = [word for name in missing for word in ("--name", name)]
        # Prefect's own reading of prefect.yaml; it tells what it did, and only an error is of interest here.
        subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", *names],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def ensure_pool(client: SyncPrefectClient) -> None:
    """The pool with its slots and queues. Prefect's own queue `default` goes last, behind ours."""
    try:
        _set_command(client, client.read_work_pool(POOL))
    except ObjectNotFound:
        template = _with_command(ProcessWorker.get_default_base_job_template())
        pool = WorkPoolCreate(name=POOL, type="process", concurrency_limit=SLOTS, base_job_template=template)
        with suppress(ObjectAlreadyExists):  # another `nabi up` on this database was first
            client.create_work_pool(pool)
    known = {queue.name for queue in client.read_work_queues(work_pool_name=POOL)}
    for name, priority in QUEUES.items():
        if name not in known:
            client.create_work_queue(name=name, priority=priority, work_pool_name=POOL)


def run_command() -> str | None:
    """What a worker starts for a run: Prefect's engine in a session of its own. None: what the worker thinks best.

    Told no command, a worker of Prefect 3.8 first starts a process that imports Prefect to prepare a workspace and then
    becomes the engine, which imports it again: 1.4 s of each run. Our code lies where it lies; there is nothing to
    prepare. That process would have had a session of its own as well: a signal to the worker's group, as at
    `nabi down`, reaches the run by the worker alone, which says why.
    """
    setsid = shutil.which("setsid")  # of util-linux
    return shlex.join([setsid, sys.executable, *_ENGINE]) if setsid else None


def _with_command(template: dict[str, Any]) -> dict[str, Any]:
    """The job template with `run_command` as the default of its variable `command`."""
    properties = template["variables"]["properties"]
    command = {**properties["command"], "default": run_command()}
    return {**template, "variables": {**template["variables"], "properties": {**properties, "command": command}}}


def _set_command(client: SyncPrefectClient, pool: WorkPool) -> None:
    """Tells a pool that exists where the interpreter lies now; a command that a person wrote stays."""
    held = pool.base_job_template["variables"]["properties"]["command"].get("default")
    if (held is None or _is_ours(held)) and held != run_command():
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=_with_command(pool.base_job_template)))


def _is_ours(command: str) -> bool:
    """Whether it reads as one of `run_command`, wherever setsid and Python lay then."""
    match shlex.split(command):
        case [setsid, _python, *rest]:
            return Path(setsid).name == "setsid" and tuple(rest) == _ENGINE
        case _:
            return False


def _refreshed(client: SyncPrefectClient, name: str) -> bool:
    """Whether the deployment exists; if it does, it is told where the code lies now and which parameters it takes."""
    try:
        deployment = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return False
    declared = _declared()[name.partition("/")[2]]
    schema = parameter_schema(load_flow_from_entrypoint(str(ROOT / declared["entrypoint"])))
    client.update_deployment(
        deployment.id,
        DeploymentUpdate(
            entrypoint=declared["entrypoint"],
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
            parameter_openapi_schema=schema.model_dump_for_openapi(),
        ),
    )
    return True


def _declared() -> dict[str, dict[str, Any]]:
    """Deployments of prefect.yaml by name."""
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return {deployment["name"]: deployment for deployment in declared["deployments"]}


if __name__ == "__main__":
    ensure_all()
