"""Rows leave every DVC version that holds them, in cache, remote, workspace and checkouts; other versions stay."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from nabi.integrations.dvc_datasets import DatasetVersions, Purge

CANARY = b"CANARY"


class Teller:
    """Remembers what a purge tells, and puts it in the place of old names."""

    def __init__(self) -> None:
        self.replaced: dict[str, str | None] = {}
        self.notes: list[tuple[str, str, int]] = []

    def newest(self, version: str) -> str:
        return self.replaced.get(version) or version

    def purge(self, versions: DatasetVersions) -> None:
        before = dict(self.replaced)
        versions.purge(
            Purge(
                holds=lambda content: CANARY in content,
                clean=clean,
                replaced=self.replaced.__setitem__,
                known=before,
                note=self.notes.extend,
            )
        )


def clean(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        name: b"".join(line for line in body.splitlines(keepends=True) if CANARY not in line)
        for name, body in files.items()
    }


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def versions(tmp_path: Path, teller: Teller, monkeypatch: pytest.MonkeyPatch) -> DatasetVersions:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return DatasetVersions(tmp_path, tmp_path / "datasets", tmp_path / "var", newest=teller.newest)


def save(versions: DatasetVersions, **parts: str) -> str:
    def write(folder: Path) -> None:
        for part, text in parts.items():
            (folder / part).mkdir(exist_ok=True)
            (folder / part / "train.jsonl").write_text(text)
            (folder / part / "card.json").write_text(f"card of {part}")

    return versions.save(write)[0]


def places_of_the_canary(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and CANARY in path.read_bytes()]


def test_versions_with_the_rows_are_written_anew_and_the_others_stay(
    versions: DatasetVersions, teller: Teller, tmp_path: Path
) -> None:
    before = save(versions, a="one\n", b="other\n")
    tainted = save(versions, a="one\nCANARY\ntwo\n")
    later = save(versions, a="one\nCANARY\ntwo\nthree\n", b="other 2\n")
    after = save(versions, a="one\nthree\n")
    versions.checkout(tainted, "a")
    teller.purge(versions)
    assert places_of_the_canary(tmp_path) == []
    assert set(teller.replaced) == {tainted, later}
    assert (versions.checkout(tainted, "a") / "train.jsonl").read_text() == "one\ntwo\n"
    assert (versions.checkout(tainted, "b") / "train.jsonl").read_text() == "other\n"
    assert (versions.checkout(later, "a") / "train.jsonl").read_text() == "one\ntwo\nthree\n"
    assert (versions.checkout(later, "b") / "train.jsonl").read_text() == "other 2\n"
    assert (versions.checkout(before, "a") / "card.json").read_text() == "card of a"
    assert (versions.checkout(before, "a") / "train.jsonl").read_text() == "one\n"
    assert (versions.checkout(after, "a") / "train.jsonl").read_text() == "one\nthree\n"
    assert versions.current() == after


@pytest.mark.parametrize("lost", [".dvc/cache", "var/dvc-remote"])
def test_what_only_the_remote_or_only_the_cache_holds_is_purged_too(
    versions: DatasetVersions, teller: Teller, tmp_path: Path, lost: str
) -> None:
    version = save(versions, a="one\nCANARY\n", b="other\n")
    shutil.rmtree(tmp_path / lost)
    shutil.rmtree(versions.datasets)
    teller.purge(versions)
    assert places_of_the_canary(tmp_path) == []
    assert (versions.checkout(version, "a") / "train.jsonl").read_text() == "one\n"
    assert (versions.checkout(version, "b") / "train.jsonl").read_text() == "other\n"


def test_the_workspace_and_its_pointer_follow_and_dvc_finds_them_clean(
    versions: DatasetVersions, teller: Teller, tmp_path: Path
) -> None:
    current = save(versions, a="one\nCANARY\n", b="other\n")
    teller.purge(versions)
    assert places_of_the_canary(tmp_path) == []
    assert versions.current() == teller.replaced[current]
    assert (versions.datasets / "a" / "train.jsonl").read_text() == "one\n"
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert status.stdout.strip() == "{}"


def test_what_killed_writers_left_behind_goes_too(versions: DatasetVersions, teller: Teller, tmp_path: Path) -> None:
    version = save(versions, a="one\n")
    leftovers = [
        versions.datasets / ".a.fresh" / "train.jsonl",
        versions.datasets / ".b.aside" / "train.jsonl",
        tmp_path / "var" / "checkouts" / "tmpx12" / "version" / "a" / "train.jsonl",
        tmp_path / ".dvc" / "cache" / "files" / "md5" / "ab" / ".xyz.tmp",
        tmp_path / "var" / "dvc-remote" / "files" / "md5" / "cd" / ".xyz.tmp",
        tmp_path / ".dvc" / "cache" / "files" / "md5" / "ab" / ("c" * 30),
    ]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept\nCANARY\n")
    teller.purge(versions)
    assert places_of_the_canary(tmp_path) == []
    assert (versions.datasets / "b" / "train.jsonl").read_text() == "kept\n"
    assert (versions.checkout(version, "a") / "train.jsonl").read_text() == "one\n"


def test_a_second_purge_finds_nothing_to_do(versions: DatasetVersions, teller: Teller, tmp_path: Path) -> None:
    save(versions, a="one\nCANARY\n")
    teller.purge(versions)
    notes, replaced, current = list(teller.notes), dict(teller.replaced), versions.current()
    teller.purge(versions)
    assert (teller.notes, teller.replaced, versions.current()) == (notes, replaced, current)


def test_an_incomplete_version_goes_without_a_successor(
    versions: DatasetVersions, teller: Teller, tmp_path: Path
) -> None:
    version = save(versions, a="one\nCANARY\n")
    save(versions, a="two\n")
    for path in [*tmp_path.glob(".dvc/cache/files/md5/*/*"), *tmp_path.glob("var/dvc-remote/files/md5/*/*")]:
        if path.read_bytes() == b"card of a":
            path.unlink()
    teller.purge(versions)
    assert teller.replaced == {version: None}
    assert places_of_the_canary(tmp_path) == []


def test_every_remote_is_purged(versions: DatasetVersions, teller: Teller, tmp_path: Path) -> None:
    save(versions, a="zero\n")
    with (tmp_path / ".dvc" / "config").open("a") as config:
        config.write(f"['remote \"second\"']\n    url = {tmp_path / 'second'}\n")
    save(versions, a="one\nCANARY\n")
    subprocess.run([sys.executable, "-m", "dvc", "push", "-q", "-r", "second"], cwd=tmp_path, check=True)
    assert any((tmp_path / "second") in path.parents for path in places_of_the_canary(tmp_path))
    teller.purge(versions)
    assert places_of_the_canary(tmp_path) == []
