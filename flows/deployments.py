"""Makes what runs need on a Prefect server: the work pool, its queues, and the deployments of `prefect.yaml`.

Run as `python -m flows.deployments`. What a person changed in the pages stays: a deployment that exists keeps its
schedule, its parameters and its queue, and only learns anew where the code lies.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from flows.work_pool import DEPLOYMENTS, POOL, QUEUES, SLOTS

ROOT = Path(__file__).resolve().parent.parent


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
        client.read_work_pool(POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=POOL, type="process", concurrency_limit=SLOTS, base_job_template=template)
        with suppress(ObjectAlreadyExists):  # another `nabi up` on this database was first
            client.create_work_pool(pool)
    known = {queue.name for queue in client.read_work_queues(work_pool_name=POOL)}
    for name, priority in QUEUES.items():
        if name not in known:
            client.create_work_queue(name=name, priority=priority, work_pool_name=POOL)


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
