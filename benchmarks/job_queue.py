"""Fifty queued jobs that do nothing, two slots, a kill in the middle: none lost, none twice, in order of priority.

    .venv/bin/python benchmarks/job_queue.py [--jobs 50]

The jobs are runs of the loop whose window was decided before, so what is timed is the queue, the worker and the guards
of a run. Beside it as many empty flows on plain Prefect: same server, worker and slots, runs started as its worker does
by itself, no control loop and no kill.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from small_platform import NOON, SmallPlatform, plant_small_home, prefect_client, small_platform  # noqa: E402

from flows.work_pool import LOOP, NORMAL, POOL, QUEUES  # noqa: E402

ORDER = tuple(QUEUES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50)
    num = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder:
        personas = [f"p{number:02}" for number in range(num)]
        platform = plant_small_home(Path(folder) / "home", *personas, base=ROOT / "models" / "tiny-ko", num=1)
        for persona in personas:
            platform.journal.start(persona, NOON)
            platform.journal.finish(persona, NOON, "skipped", "nothing to do")
        platform.database.close()
        with small_platform(Path(folder) / "home") as up, prefect_client(up) as client:
            ours, runs = time_queue(up, client, personas)
            plain = time_plain(up, client, Path(folder), num)
    report(runs, ours, plain)


def time_queue(up: SmallPlatform, client: Any, personas: list[str]) -> tuple[float, list[Any]]:
    """Seconds from the worker's start to the last end, worker and flows killed once half are done; the runs."""
    deployment = client.read_deployment_by_name(LOOP).id
    ids = []
    for number, persona in enumerate(personas):
        parameters = {"persona_ids": [persona], "as_of": NOON.isoformat()}
        queue = ORDER[::-1][number % 3]  # asked for in the wrong order
        made = client.create_flow_run_from_deployment(deployment, parameters=parameters, work_queue_name=queue)
        ids.append(made.id)
    up.start("control", "worker")
    begun, killed = time.monotonic(), False
    while True:
        runs = [client.read_flow_run(run_id) for run_id in ids]
        ended = sum(run.state.is_final() and not run.state.is_crashed() for run in runs)
        if ended == len(ids):
            return time.monotonic() - begun, runs
        flows = up.flow_processes()
        if not killed and ended >= len(ids) // 2 and any(run.state.is_running() for run in runs) and flows:
            up.kill("worker")
            for process in flows:
                process.kill()
            up.start("worker")
            killed = True
        time.sleep(1)


def time_plain(up: SmallPlatform, client: Any, folder: Path, num: int) -> float:
    """Seconds for as many empty flows, with neither control loop nor kill."""
    up.kill("control")
    (folder / "nothing.py").write_text("from prefect import flow\n\n\n@flow\ndef nothing():\n    pass\n")
    deployment = client.create_deployment(
        client.create_flow_from_name("nothing"),
        name="plain",
        entrypoint="nothing.py:nothing",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}],
        work_pool_name=POOL,
        work_queue_name=NORMAL,
        job_variables={"command": None},  # not the pool's, which is ours
    )
    ids = [client.create_flow_run_from_deployment(deployment).id for _ in range(num)]
    begun = time.monotonic()
    while not all(client.read_flow_run(run_id).state.is_final() for run_id in ids):
        time.sleep(1)
    return time.monotonic() - begun


def report(runs: list[Any], ours: float, plain: float) -> None:
    names = Counter(run.state.name for run in runs)
    began = sorted(runs, key=lambda run: run.start_time)
    firsts = {queue: min(i for i, run in enumerate(began) if run.work_queue_name == queue) for queue in ORDER}
    swaps = sum(
        ORDER.index(a.work_queue_name) > ORDER.index(b.work_queue_name)
        for i, a in enumerate(began)
        for b in began[i + 1 :]
    )
    print(f"{len(runs)} jobs: {names['Completed']} completed, {len(runs) - names['Completed']} lost")
    print(f"started more than once (killed ones): {sum(run.run_count > 1 for run in runs)}")
    print(f"first of each queue: {firsts}; pairs out of order: {swaps}")
    print(f"with control loop and a kill {ours:.0f} s, plain Prefect {plain:.0f} s ({ours / plain:.2f} x)")


if __name__ == "__main__":
    main()
