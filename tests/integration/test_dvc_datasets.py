"""DVC for real: versions, older ones back, two writers at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nabi.errors import DataError
from nabi.integrations.dvc_datasets import DatasetVersions


@pytest.fixture
def versions(tmp_path: Path) -> DatasetVersions:
    return DatasetVersions(tmp_path, tmp_path / "datasets", tmp_path / "var")


def write_part(part: str, text: str):
    def write(folder: Path) -> int:
        (folder / part).mkdir(exist_ok=True)
        (folder / part / "train.jsonl").write_text(text)
        return len(text)

    return write


def test_equal_bytes_give_the_equal_version(versions: DatasetVersions) -> None:
    first, size = versions.save(write_part("a", "one\n"))
    again, _ = versions.save(write_part("a", "one\n"))
    other, _ = versions.save(write_part("a", "two\n"))
    assert first == again != other
    assert first.endswith(".dir")
    assert size == 4
    assert versions.current() == other


def test_an_older_version_checks_out_beside_the_newest(versions: DatasetVersions) -> None:
    first, _ = versions.save(write_part("a", "one\n"))
    versions.save(write_part("a", "two\n"))
    assert (versions.checkout(first, "a") / "train.jsonl").read_text() == "one\n"
    assert (versions.datasets / "a" / "train.jsonl").read_text() == "two\n"


def test_an_older_version_can_be_put_back(versions: DatasetVersions) -> None:
    first, _ = versions.save(write_part("a", "one\n"))
    versions.save(write_part("a", "two\n"))
    versions.restore(first)
    assert (versions.datasets / "a" / "train.jsonl").read_text() == "one\n"
    assert versions.current() == first


def test_a_version_comes_back_from_the_remote_when_the_cache_is_gone(versions: DatasetVersions) -> None:
    first, _ = versions.save(write_part("a", "one\n"))
    shutil.rmtree(versions.home / ".dvc" / "cache")
    shutil.rmtree(versions.datasets)
    assert (versions.checkout(first, "a") / "train.jsonl").read_text() == "one\n"


def test_an_unknown_version_is_named(versions: DatasetVersions) -> None:
    versions.save(write_part("a", "one\n"))
    with pytest.raises(DataError, match="neither in DVC's cache nor in its remote"):
        versions.checkout("0" * 32 + ".dir", "a")
    with pytest.raises(DataError, match="holds nothing for b"):
        versions.checkout(versions.current() or "", "b")


def test_two_writers_at_once_lose_nothing(versions: DatasetVersions) -> None:
    def run(part: str) -> str:
        return versions.save(write_part(part, part * 1000))[0]

    with ThreadPoolExecutor(4) as pool:
        saved = list(pool.map(run, ["a", "b", "c", "d"]))
    for part, version in zip("abcd", saved, strict=True):
        assert (versions.checkout(version, part) / "train.jsonl").read_text() == part * 1000
    assert sorted(p.name for p in versions.datasets.iterdir()) == ["a", "b", "c", "d"]


def test_a_version_beside_leaves_folder_and_pointer_alone_and_goes_on_from_any_other(versions: DatasetVersions) -> None:
    first, _ = versions.save(write_part("a", "one\n"))
    live, _ = versions.save(write_part("a", "two\n"))
    beside = versions.save_aside(write_part("b", "three\n"), first)
    fresh = versions.save_aside(write_part("b", "three\n"), None)
    assert versions.current() == live
    assert [path.name for path in versions.datasets.iterdir()] == ["a"]
    assert (versions.checkout(beside, "a") / "train.jsonl").read_text() == "one\n"
    assert (versions.checkout(beside, "b") / "train.jsonl").read_text() == "three\n"
    with pytest.raises(DataError, match="holds nothing for a"):
        versions.checkout(fresh, "a")
    assert not list((versions.home / "var" / "checkouts").glob("tmp*")), "nothing of the work is left"


@pytest.mark.parametrize("half", ["", "outs:\n- md5: 0a1b2c", "outs:\n- {"])
def test_a_pointer_that_was_half_written_when_its_writer_was_killed_is_the_one_before(
    versions: DatasetVersions, half: str
) -> None:
    first, _ = versions.save(write_part("a", "one\n"))
    pointer = versions.home / "datasets.dvc"
    shutil.copyfile(pointer, versions.home / ".datasets.dvc.before")
    pointer.write_text(half)
    assert versions.current() == first
    second, _ = versions.save(write_part("a", "two\n"))
    assert versions.current() == second
    assert not (versions.home / ".datasets.dvc.before").exists()


def test_a_first_pointer_that_was_half_written_is_none_at_all(versions: DatasetVersions) -> None:
    (versions.home / "datasets.dvc").write_text("")
    assert versions.current() is None
    first, _ = versions.save(write_part("a", "one\n"))
    assert versions.current() == first


def test_dvc_itself_finds_the_folder_clean(versions: DatasetVersions) -> None:
    versions.save(write_part("a", "one\n"))
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], cwd=versions.home, capture_output=True, text=True, check=True
    )
    assert status.stdout.strip() == "{}"
