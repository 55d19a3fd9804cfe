"""A pass of the loop that is killed again and again, at any point, ends as if nothing had happened.

The short form kills a few times. `NABI_LONG=1` (or `make resilience`) kills 400 times, half of the passes ending in a
deployment; NABI_SEED changes the points.
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
from minute_base import build_tiny_base
from planted_home import environment
from small_platform import NOON, plant_small_home

from nabi.settings import Settings
from nabi.wiring import Platform

CHILD = Path(__file__).with_name("loop_child.py")
IS_LONG = os.environ.get("NABI_LONG") == "1"
KILLS = 200 if IS_LONG else 5
SEED = int(os.environ.get("NABI_SEED", "20260701"))
MAX_KILLS_A_HOME = 5
PERSONA = "bot"
HEAVY = [
    "nabi.steps.conclude",
    "nabi.steps.train",
    "nabi.steps.snapshot",
    "nabi.training.trainer",
    "nabi.integrations.dvc_datasets",
    "nabi.integrations.mlflow_tracking",
    "nabi.registry.adapters",
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 3600 if IS_LONG else 1200)]


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> ForkServerContext:
    """Children begin with everything imported: seconds of imports would catch most of the kills."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(tmp_path_factory.mktemp("nowhere")).items():
            patch.setenv(name, value)
        patch.setenv("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(HEAVY)
        warm = context.Process(target=time.sleep, args=(0,))
        warm.start()
        warm.join()
        return context


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Path:
    """A persona with sixty conversations that nothing was learned from yet."""
    folder = tmp_path_factory.mktemp("killed")
    base = build_tiny_base(folder / "base" / "minute")
    home = folder / "template"
    platform = plant_small_home(home, PERSONA, base=base, num=60)
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    platform.database.close()
    return home


class Pass:
    """One installation, in which the same pass is begun as often as it takes."""

    def __init__(self, forks: ForkServerContext, template: Path, home: Path, *, deploy: bool) -> None:
        shutil.copytree(template, home)
        self.home = home
        self._forks = forks
        self._deploy = deploy

    def start(self, kill_at: int = 0, count_to: str = "") -> Any:
        given = {
            "HOME": str(self.home),
            "PERSONA": PERSONA,
            "AS_OF": NOON,
            "DEPLOY": self._deploy,
            "KILL_AT": kill_at,
            "COUNT_TO": count_to,
            "LOG": str(self.home.with_suffix(".log")),
        }
        child = self._forks.Process(target=runpy.run_path, args=(str(CHILD),), kwargs={"init_globals": given})
        child.start()
        return child

    def what_is_wrong(self) -> list[str]:
        """Everything that an undisturbed pass would not have left behind."""
        platform = Platform(Settings(home=self.home))
        versions = platform.registry.versions(PERSONA)
        standing = platform.journal.standing(PERSONA, NOON)
        runs = platform.tracker.runs_of(PERSONA)
        experiment = platform.tracker.experiment_id(PERSONA)
        models = platform.tracker._client.search_logged_models([experiment])
        history = platform.ledger.history(PERSONA)
        datasets = {version.dataset_version for version in versions}
        expected = "deployed" if self._deploy else "kept"
        learned = len(platform.store.learned_by(PERSONA))
        facts = {
            "adapter versions": (len(versions), 1),
            "logged models": (len(models), 1),
            "MLflow runs": (len(runs), 1),
            "dataset versions": (len(datasets), 1),
            "window": (standing.state if standing else None, expected),
            "deployments": (len(history), int(self._deploy)),
            "learned": (learned > 0, self._deploy),
            "files of the adapter": (platform.registry.folder_of(versions[0]).is_dir() if versions else False, True),
            "dataset comes back": (bool(_checked_out(platform, datasets)), True),
            "trainings counted": (platform.journal.trainings_on_day(PERSONA, NOON, "Asia/Seoul"), 1),
            "left over of training": (
                [path.name for path in (platform.settings.adapters / PERSONA / "candidates").glob("*")],
                [],
            ),
        }
        platform.database.close()
        return [f"{what}: {found}, not {wanted}" for what, (found, wanted) in facts.items() if found != wanted]


def _checked_out(platform: Platform, datasets: set[str]) -> list[Path]:
    return [file for version in datasets for file in platform.datasets.checkout(version, PERSONA).glob("train.jsonl")]


@pytest.mark.parametrize(
    "deploy", [False, True] if IS_LONG else [True], ids=lambda deploy: ("kept out", "deployed")[deploy]
)
def test_killed_anywhere_it_ends_as_if_nothing_had_happened(
    forks: ForkServerContext, template: Path, tmp_path: Path, deploy: bool
) -> None:
    choose = random.Random(f"{SEED} {deploy}")
    num_operations, seconds = _measure(forks, template, tmp_path, deploy)
    num_kills = num_homes = 0
    wrong: list[str] = []
    while num_kills < KILLS:
        one = Pass(forks, template, tmp_path / f"home-{num_homes}", deploy=deploy)
        points = []
        for _ in range(MAX_KILLS_A_HOME):
            if point := _kill_once(one, choose, num_operations, seconds):
                points.append(point)
        num_kills += len(points)
        child = one.start()
        child.join()
        found = one.what_is_wrong() if child.exitcode == 0 else [f"the last start ended with {child.exitcode}"]
        if found:
            wrong.append(f"home {num_homes}, killed at {points}: {found}")
        else:
            shutil.rmtree(one.home)
        num_homes += 1
    print(f"\n{num_kills} kills in {num_homes} passes, {num_operations} file operations in {seconds:.1f} s each")
    assert wrong == []


def _measure(forks: ForkServerContext, template: Path, tmp_path: Path, deploy: bool) -> tuple[int, float]:
    """How many file operations an undisturbed pass makes, and how long it takes; nothing is wrong after it either."""
    one = Pass(forks, template, tmp_path / "undisturbed", deploy=deploy)
    counted = tmp_path / "operations"
    begun = time.monotonic()
    child = one.start(count_to=str(counted))
    child.join()
    seconds = time.monotonic() - begun
    assert child.exitcode == 0, one.home.with_suffix(".log").read_text()[-3000:]
    assert one.what_is_wrong() == []
    return int(counted.read_text()), seconds


def _kill_once(one: Pass, choose: random.Random, num_operations: int, seconds: float) -> str | None:
    """Kills one start before a file operation, or after some time; where, None when it was done before."""
    if choose.random() < 0.6:
        point = choose.randint(1, num_operations)
        child, told = one.start(kill_at=point), f"operation {point}"
        child.join()
    else:
        delay = choose.uniform(0, seconds)
        child, told = one.start(), f"{delay:.2f} s"
        child.join(delay)
        child.kill()
        child.join()
    if child.exitcode == -signal.SIGKILL:
        return told
    assert child.exitcode == 0, f"ended with {child.exitcode} after {told}: see {one.home.with_suffix('.log')}"
    return None
