"""Where the time of one pass goes: every step of window 1 of the shipped example, three ways.

    .venv/bin/python benchmarks/one_pass.py steps command platform [--json FILE]

`steps` are timed in this process on a fresh installation in a temporary folder, by the clock and in processor seconds
(children included), which other work on the machine hardly changes. `command` is `nabi run` on another fresh one,
Prefect's server included; the difference is what orchestration costs. `platform` is the same pass as a run of a
platform that is up and has played passes before: from the moment it is asked for to its end, by Prefect's own record.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from nabi.cli.learn import ingest_report
from nabi.settings import Settings, get_settings
from nabi.steps.window import Window
from nabi.wiring import get_platform

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from small_platform import prefect_client, small_platform  # noqa: E402

PERSONA, AS_OF = "nabiyam", datetime.fromisoformat("2026-07-01T12:00+09:00")
SILENT = "search-assistant"
LOG = ROOT / "examples" / "logs" / "window-1.jsonl"
EARLIER_PASSES = f"""
from nabi.steps.bootstrap import bootstrap_pool
from nabi.wiring import get_platform

platform = get_platform()
bootstrap_pool(platform, platform.persona({PERSONA!r}))
platform.tracker.versions({PERSONA!r})
"""
"""Leaves what a pass of the persona would have left: MLflow's tables, and what need not be made again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="+", choices=["steps", "command", "platform"])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    figures: dict[str, object] = {}
    for way in dict.fromkeys(arguments.ways):
        with tempfile.TemporaryDirectory() as folder:
            figures[way] = {"steps": time_steps, "command": time_command, "platform": time_platform}[way](Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def time_steps(home: Path) -> dict[str, dict[str, float]]:
    """Seconds of each step, by name, in the order of the loop: by the clock, and of the processor."""
    _install(home)
    os.environ.update(_environment(home))
    get_settings.cache_clear()
    from nabi.steps import bootstrap, collect, conclude, evaluate, snapshot, train
    from nabi.training.progress import no_progress

    platform = get_platform()
    seconds: dict[str, float] = {}
    processor: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begun, used = time.perf_counter(), processor_seconds()
        yield
        seconds[name], processor[name] = time.perf_counter() - begun, processor_seconds() - used

    window = Window(persona_id=PERSONA, as_of=AS_OF)
    with timed("ingest"):
        ingest_report(LOG, "chat", None)
    with timed("collect"):
        collect.open_window(platform, window)
        collected = collect.collect(platform, window)
    with timed("filter"):
        kept = collect.keep_usable(platform, collected)
    with timed("bootstrap"):
        filled = bootstrap.fill_up(platform, kept)
    with timed("snapshot"):
        taken = snapshot.take_snapshot(platform, filled)
    with timed("train"):
        candidate = train.train_candidate(platform, taken, None, no_progress)
    with timed("evaluate"):
        scored = evaluate.evaluate_candidate(platform, candidate)
    with timed("gate"):
        judged = conclude.judge(platform, scored)
    with timed("deploy"):
        (conclude.deploy if judged.deploy else conclude.keep)(platform, judged)
    for name, passed in seconds.items():
        print(f"{name:12} {passed:7.2f} s  {processor[name]:7.2f} processor s")
    print(f"{'all steps':12} {sum(seconds.values()):7.2f} s  {sum(processor.values()):7.2f} processor s")
    return {"seconds": seconds, "processor": processor}


def time_command(home: Path) -> float:
    """Wall seconds of `nabi run` for the same window, from nothing."""
    _install(home)
    environment = {**os.environ, **_environment(home)}
    nabi = [sys.executable, "-m", "nabi.cli"]
    subprocess.run([*nabi, "ingest", str(LOG)], env=environment, check=True, capture_output=True)
    begun = time.perf_counter()
    command = [*nabi, "run", "--persona", PERSONA, "--as-of", AS_OF.isoformat()]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    print(f"nabi run     {seconds:7.2f} s  (the starts of Python and of Prefect's server included)")
    return seconds


def time_platform(home: Path) -> dict[str, float]:
    """Wall seconds of the stretches of a run on a warm platform, in their order."""
    from prefect.client.schemas.filters import FlowRunFilter

    from flows.work_pool import LOOP

    _install(home)
    environment = {**os.environ, **_environment(home)}
    ingest = [sys.executable, "-m", "nabi.cli", "ingest", str(LOG)]
    subprocess.run(ingest, env=environment, check=True, capture_output=True)
    settings = {**_environment(home), "NABI_THREADS": None, "OMP_NUM_THREADS": None}  # as `nabi up` leaves them
    subprocess.run([sys.executable, "-c", EARLIER_PASSES], env=environment, check=True)
    with small_platform(home, **settings) as up, prefect_client(up) as client:
        up.start("control", "worker")
        deployment = client.read_deployment_by_name(LOOP).id
        for persona in (SILENT, PERSONA):  # the first one warms up server, worker and the disk's cache
            parameters = {"persona_ids": [persona], "as_of": AS_OF.isoformat()}
            run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
            while not (run := client.read_flow_run(run.id)).state.is_final():
                time.sleep(0.5)
            assert run.state.is_completed(), run.state.message
        return _stretches(run, client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run.id]})))


def _stretches(run: Any, tasks: list[Any]) -> dict[str, float]:
    """From asking to ending: waiting, Python's start, each task, and what lies between the tasks."""
    tasks = sorted(tasks, key=lambda task: task.start_time)
    found = {
        "until a worker began": (run.start_time - run.created).total_seconds(),
        "until the first step": (tasks[0].start_time - run.start_time).total_seconds(),
    }
    for task in tasks:
        found[task.name] = (task.end_time - task.start_time).total_seconds()
    whole = (run.end_time - run.created).total_seconds()
    found["between the steps"] = whole - sum(found.values())
    training = next(seconds for name, seconds in found.items() if name.endswith(": train"))
    for name, seconds in found.items():
        print(f"{name:28} {seconds:7.2f} s")
    print(f"{'all but the training':28} {whole - training:7.2f} s of {whole:.2f}")
    return found | {"whole": whole, "all but the training": whole - training}


def _install(home: Path) -> None:
    (home / "sample_data.xlsx").symlink_to(ROOT / "sample_data.xlsx")


def _environment(home: Path) -> dict[str, str]:
    defaults = Settings.model_fields
    return {
        "NABI_HOME": str(home),
        "NABI_PERSONAS_DIR": str(ROOT / str(defaults["personas_dir"].default)),
        "NABI_MODELS_DIR": str(ROOT / str(defaults["models_dir"].default)),
    }


if __name__ == "__main__":
    main()
