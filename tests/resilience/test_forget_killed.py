"""A deletion that is killed again and again, at any point, still leaves nothing of the person and harms nobody else.

The short form kills a few times. `NABI_LONG=1` (or `make resilience`) kills 200 times; NABI_SEED changes the points.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import runpy
import shutil
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from planted_home import HANA, Planted, copy_home, environment, hanas_key, open_platform, plant, what_is_wrong

CHILD = Path(__file__).with_name("forget_child.py")
IS_LONG = os.environ.get("NABI_LONG") == "1"
KILLS = 200 if IS_LONG else 10
SEED = int(os.environ.get("NABI_SEED", "20260701"))
MAX_KILLS_A_HOME = 6
HEAVY = [
    "nabi.cli.app",
    "nabi.steps.forget",
    "nabi.integrations.dvc_datasets",
    "nabi.integrations.mlflow_tracking",
    "nabi.registry.adapters",
]


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> ForkServerContext:
    """Children begin with everything imported: seconds of imports would catch most of the kills."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(tmp_path_factory.mktemp("nowhere")).items():
            patch.setenv(name, value)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(HEAVY)
        warm = context.Process(target=time.sleep, args=(0,))
        warm.start()
        warm.join()
        return context


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Planted:
    home = tmp_path_factory.mktemp("killed") / "template"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", environment(home)["DVC_SITE_CACHE_DIR"])
        return plant(home, empty_mlflow)


def start(forks: ForkServerContext, home: Path, words: list[str], kill_at: int = 0, count_to: str = "") -> Any:
    told = {"HOME": str(home), "WORDS": words, "KILL_AT": kill_at, "COUNT_TO": count_to}
    child = forks.Process(target=runpy.run_path, args=(str(CHILD),), kwargs={"init_globals": told})
    child.start()
    return child


def next_words(home: Path) -> list[str]:
    """The request again while it was not even noted, else only its end."""
    platform = open_platform(home)
    noted = platform.store.erasures.of_person(hanas_key(platform))
    platform.database.close()
    return ["forget", "--resume"] if noted else ["forget", "--user", HANA]


def test_killed_anywhere_it_finishes_and_leaves_nothing(
    forks: ForkServerContext, template: Planted, tmp_path: Path, record_property: Any
) -> None:
    choose = random.Random(SEED)
    num_operations, seconds = _measure(forks, template, tmp_path)
    num_kills = num_homes = 0
    wrong: list[str] = []
    while num_kills < KILLS:
        planted = copy_home(template, tmp_path / f"home-{num_homes}")
        wanted = min(choose.randint(1, MAX_KILLS_A_HOME) if IS_LONG else MAX_KILLS_A_HOME, KILLS - num_kills)
        points = [_kill_once(forks, planted.home, choose, num_operations, seconds) for _ in range(wanted)]
        num_kills += sum(point is not None for point in points)
        child = start(forks, planted.home, next_words(planted.home))
        child.join()
        found = what_is_wrong(planted) if child.exitcode == 0 else [f"the last start ended with {child.exitcode}"]
        if found:
            wrong.append(f"home {num_homes}, killed at {points}: {found}")
        else:
            shutil.rmtree(planted.home)
        num_homes += 1
    record_property("kills", num_kills)
    print(f"\n{num_kills} kills in {num_homes} installations, {num_operations} file operations in {seconds:.2f} s each")
    assert wrong == []


def _measure(forks: ForkServerContext, template: Planted, tmp_path: Path) -> tuple[int, float]:
    """How many file operations an undisturbed deletion makes, and how long it takes; it leaves nothing either."""
    planted = copy_home(template, tmp_path / "undisturbed")
    counted = tmp_path / "operations"
    began = time.monotonic()
    child = start(forks, planted.home, ["forget", "--user", HANA], count_to=str(counted))
    child.join()
    seconds = time.monotonic() - began
    assert child.exitcode == 0
    assert what_is_wrong(planted) == []
    return int(counted.read_text()), seconds


def _kill_once(
    forks: ForkServerContext, home: Path, choose: random.Random, num_operations: int, seconds: float
) -> str | None:
    """Kills one start before a file operation, or after some time, which also hits the middle of a database write.

    Returns:
        Where it was killed; None when it was done before.
    """
    words = next_words(home)
    if choose.random() < 0.6:
        point = choose.randint(1, num_operations)
        child = start(forks, home, words, kill_at=point)
        child.join()
        told = f"operation {point}"
    else:
        delay = choose.uniform(0, seconds)
        child = start(forks, home, words)
        child.join(delay)
        child.kill()
        child.join()
        told = f"{delay:.2f} s"
    if child.exitcode == -signal.SIGKILL:
        return told
    assert child.exitcode == 0, f"{words} ended with {child.exitcode} after {told}"
    return None
