"""What stands in a pass's way outside of nabi: a full disk, a folder that may only be read, a lock, a clock that jumps.

Each time: the live adapter stays as it is, the error is of the kind that says what to mend, nothing half is named as a
dataset version, and once the obstacle is gone the same step does what it would have done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_platform import NOON, plant_small_home

from nabi.datasets.snapshot import load_snapshot
from nabi.error_kinds import Kind, explanation, kind_of
from nabi.errors import LeaseLost
from nabi.registry.holding import Holding
from nabi.registry.leases import Leases, persona_lease
from nabi.resources.processes import ProcessId
from nabi.settings import Settings
from nabi.steps.bootstrap import fill_up, why_not_train
from nabi.steps.collect import collect, keep_usable, open_window
from nabi.steps.snapshot import take_snapshot
from nabi.steps.window import Snapshot, Window
from nabi.wiring import Platform

PERSONA = "bot"
WINDOW = Window(persona_id=PERSONA, as_of=NOON)
KIB = 1024

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(autouse=True)
def own_dvc_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Snapshot:
    """What the pass makes when nothing is in its way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
        with installed(tmp_path_factory.mktemp("undisturbed") / "home", empty_mlflow) as platform:
            return snapshot(platform)


@contextmanager
def installed(home: Path, empty_mlflow: Path) -> Iterator[Platform]:
    """A persona with a live adapter (its weights are made up) and forty conversations that it has not learned from."""
    plant_small_home(home, PERSONA, base=home / "no-base").database.close()
    platform = Platform(Settings(home=home, threads=1))
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    run_id = platform.tracker.open_run(PERSONA, "an earlier pass", {})
    folder = platform.registry.candidate_folder(PERSONA, "earlier")
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"made up")
    adapter = platform.registry.register(PERSONA, run_id, folder, "d", tags={})
    platform.registry.deploy(adapter, who="the test", why="something must be live")
    yield platform
    platform.database.close()


def snapshot(platform: Platform) -> Snapshot:
    """The pass up to its dataset; may be called again after it failed, as the next run does."""
    assert open_window(platform, WINDOW) is None
    filled = fill_up(platform, keep_usable(platform, collect(platform, WINDOW)))
    assert why_not_train(platform, filled) is None
    return take_snapshot(platform, filled)


def live_of(platform: Platform) -> tuple[Any, dict[str, bytes]]:
    """What is live, with the bytes of its files."""
    live = platform.ledger.live(PERSONA)
    folder = platform.settings.adapters / PERSONA
    return live, {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fails(platform: Platform, before: Any, *kinds: Kind) -> str:
    """The pass fails with an error of these kinds and touches nothing that is live; what a person reads."""
    with pytest.raises(Exception) as error:
        snapshot(platform)
    told = explanation(error.value)
    assert kind_of(error.value) in kinds, told
    assert live_of(platform) == before
    return told


def names_nothing_half(platform: Platform) -> None:
    """The version that `datasets.dvc` names, if any, comes back whole."""
    if version := platform.datasets.current():
        assert load_snapshot(platform.datasets.checkout(version, PERSONA)).num_train > 0


def goes_on(platform: Platform, before: Any, undisturbed: Snapshot) -> None:
    """The same pass, with nothing in its way any more, ends as if nothing had been."""
    taken = snapshot(platform)
    assert (taken.version, taken.digest) == (undisturbed.version, undisturbed.digest)
    assert platform.datasets.current() == taken.version
    assert platform.tracker.runs_of(PERSONA).count(taken.run_id) == 1
    assert len(platform.tracker.runs_of(PERSONA)) == 2, "the earlier pass and this one"
    assert live_of(platform) == before


@contextmanager
def mounted(target: Path, *how: str) -> Iterator[None]:
    """A mount for the length of the block; the test is left out where mounting is not allowed."""
    target.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", *how, str(target)], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


def test_a_disk_that_is_full_anywhere_on_the_way_to_a_dataset_stops_the_pass_and_nothing_else(
    tmp_path: Path, empty_mlflow: Path, undisturbed: Snapshot
) -> None:
    disk = tmp_path / "disk"
    with (
        mounted(disk, "-t", "tmpfs", "-o", "size=48m", "tmpfs"),
        installed(disk / "home", empty_mlflow) as platform,
    ):
        before = live_of(platform)
        for left in (0, 16, 48, 96, 160, 256):  # KiB: it ends at another place each time
            filler = _fill(disk, left * KIB)
            try:
                told = fails(platform, before, Kind.NO_SPACE)
            except pytest.fail.Exception:
                assert left > 0, "a pass cannot end on a disk without a free byte"
                break  # so much was enough
            finally:
                filler.unlink()
            print(f"\n{left} KiB left: {told}")
            names_nothing_half(platform)
            assert "space" in told
        goes_on(platform, before, undisturbed)


def _fill(disk: Path, left: int) -> Path:
    """Fills a disk but for some bytes."""
    filler = disk / "filler"
    stand = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, stand.f_bavail * stand.f_frsize - left))
    return filler


def test_a_datasets_folder_that_may_only_be_read_is_named(
    tmp_path: Path, empty_mlflow: Path, undisturbed: Snapshot
) -> None:
    with installed(tmp_path / "home", empty_mlflow) as platform:
        before, folder = live_of(platform), platform.settings.datasets
        folder.mkdir()
        with _read_only(folder):
            told = fails(platform, before, Kind.BAD_CONFIGURATION)
        assert str(folder) in told
        goes_on(platform, before, undisturbed)
        print(f"\nread-only: {told}\nthe live adapter as it was; afterwards the undisturbed version, 1 MLflow run")


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """By permission; by a mount for a user whom no permission stops."""
    folder.chmod(0o500)
    try:
        if os.access(folder, os.W_OK):
            with mounted(folder, "-t", "tmpfs", "-o", "ro", "tmpfs"):
                yield
        else:
            yield
    finally:
        folder.chmod(0o700)


HOLD_DVC = """
import sys
from dvc.repo import Repo
with Repo(sys.argv[1]).lock:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", [subprocess.Popen.terminate, subprocess.Popen.kill], ids=["ends", "is killed"])
def test_dvcs_lock_in_anothers_hand_is_waited_for(
    tmp_path: Path, empty_mlflow: Path, undisturbed: Snapshot, end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    with installed(tmp_path / "home", empty_mlflow) as platform:
        before, home = live_of(platform), platform.settings.home
        platform.datasets._repo()  # the repository is made by the first save; here somebody else is first
        with subprocess.Popen(
            [sys.executable, "-c", HOLD_DVC, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            told = fails(platform, before, Kind.TRANSIENT)  # which the step tries again, for a quarter of an hour
            assert "another process holds DVC's lock" in told
            end(holder)
        goes_on(platform, before, undisturbed)
        print(f"\nlock: {told}\nafterwards the undisturbed version, 1 MLflow run")


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)], ids=["a day on", "a day back"])
def test_a_clock_that_jumps_takes_a_persona_from_nobody_who_works_and_lets_a_silent_one_write_nothing(
    tmp_path: Path, empty_mlflow: Path, jump: timedelta
) -> None:
    with installed(tmp_path / "home", empty_mlflow) as platform:
        before = live_of(platform)
        now = datetime.now(UTC)
        lost: list[LeaseLost] = []
        clock = [now]
        here = Holding(Leases(platform.database, clock=lambda: clock[0]), lost.append, beat_seconds=3600)
        assert here.take([persona_lease(PERSONA)], "the run") == ()
        snapshot(platform)
        clock[0] = now + jump
        other = Leases(platform.database, clock=lambda: clock[0])
        assert other.acquire([persona_lease(PERSONA)], "another run").mine == (), "its process lives"
        here.at("train")
        assert lost == []

        # A process of another host, which nobody can look at: silent for longer than a minute, whatever its clock said.
        away = ProcessId(host="elsewhere", pid=1, born="then")
        here.give_back([persona_lease(PERSONA)])
        remote = Holding(Leases(platform.database, process=away, clock=lambda: now), lost.append, beat_seconds=3600)
        assert remote.take([persona_lease(PERSONA)], "a remote run") == ()
        assert len(other.acquire([persona_lease(PERSONA)], "another run").mine) == 1
        version = platform.registry.versions(PERSONA)[0]
        with pytest.raises(LeaseLost):
            platform.registry.deploy(
                version, who="a remote run", why="late", lease=remote.lease(persona_lease(PERSONA))
            )
        assert live_of(platform) == before
        print(f"\nclock {jump}: 0 leases taken from a living process, 1 from a silent one, 0 deployments by that one")
