"""Where the time of one pass goes: every step of window 1 of the shipped example, then the same pass through Prefect.

    .venv/bin/python benchmarks/one_pass.py [--json FILE]

The steps are timed in this process on a fresh installation in a temporary folder, by the clock and in processor seconds
(children included), which other work on the machine hardly changes. The second pass is `nabi run` on another fresh one,
Prefect's server included; the difference is what orchestration costs. `--steps` leaves it out.
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

from nabi.cli.learn import ingest_report
from nabi.settings import Settings, get_settings
from nabi.steps.window import Window
from nabi.wiring import get_platform

ROOT = Path(__file__).resolve().parent.parent
PERSONA, AS_OF = "nabiyam", datetime.fromisoformat("2026-07-01T12:00+09:00")
LOG = ROOT / "examples" / "logs" / "window-1.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--steps", action="store_true", help="only the steps, not `nabi run`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        steps, processor = time_steps(Path(folder))
    total = sum(steps.values())
    for name, seconds in steps.items():
        print(f"{name:12} {seconds:7.2f} s  {seconds / total:6.1%}  {processor[name]:7.2f} processor s")
    print(f"{'all steps':12} {total:7.2f} s  {'':6}  {sum(processor.values()):7.2f} processor s")
    figures: dict[str, object] = {"steps": steps, "processor": processor}
    if not arguments.steps:
        with tempfile.TemporaryDirectory() as folder:
            whole = time_command(Path(folder))
        print(
            f"{'nabi run':12} {whole:7.2f} s  ({whole / total:.2f} × the steps; Python's and Prefect's starts included)"
        )
        figures["nabi run"] = whole
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def time_steps(home: Path) -> tuple[dict[str, float], dict[str, float]]:
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
    return seconds, processor


def time_command(home: Path) -> float:
    """Wall seconds of `nabi run` for the same window, from nothing."""
    _install(home)
    environment = {**os.environ, **_environment(home)}
    nabi = [sys.executable, "-m", "nabi.cli"]
    subprocess.run([*nabi, "ingest", str(LOG)], env=environment, check=True, capture_output=True)
    begun = time.perf_counter()
    command = [*nabi, "run", "--persona", PERSONA, "--as-of", AS_OF.isoformat()]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun


def _install(home: Path) -> None:
    (home / "sample_data.xlsx").symlink_to(ROOT / "sample_data.xlsx")


def _environment(home: Path) -> dict[str, str]:
    defaults = Settings.model_fields
    return {
        "NABI_HOME": str(home),
        "NABI_PERSONAS_DIR": str(ROOT / str(defaults["personas_dir"].default)),
        "NABI_MODELS_DIR": str(ROOT / str(defaults["models_dir"].default)),
        "OMP_WAIT_POLICY": "PASSIVE",
    }


if __name__ == "__main__":
    main()
