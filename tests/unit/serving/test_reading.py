from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nabi.errors import ModelError
from nabi.serving import reading
from nabi.serving.blocks import Block
from nabi.serving.reading import AdapterReader
from nabi.serving.slots import AdapterSlots
from nabi.training.adapter import WEIGHTS, WeightsFile, load_verified
from nabi.training.base_model import LoadedBase, load_base, resolve_base


@pytest.fixture(scope="module")
def base(tiny_base_dir: Path) -> LoadedBase:
    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


@pytest.fixture
def folder(trained_adapter: tuple[Any, Any], tmp_path: Path) -> Path:
    """A copy of a good adapter, old enough to be remembered."""
    copied = Path(shutil.copytree(trained_adapter[1].adapter_dir, tmp_path / "adapter"))
    time.sleep(1.5 * reading._SETTLED_S)
    return copied


@pytest.fixture
def slots(base: LoadedBase) -> AdapterSlots:
    return AdapterSlots(base.model, 1)


@pytest.fixture
def reader(base: LoadedBase, slots: AdapterSlots) -> AdapterReader:
    return AdapterReader(base.ref, slots)


@pytest.fixture
def full_checks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were verified in full, one by one."""
    checked: list[Path] = []

    def counted(folder: Path, base: Any) -> Any:
        checked.append(folder)
        return load_verified(folder, base)

    monkeypatch.setattr(reading, "load_verified", counted)
    return checked


def _flip_a_bit(path: Path) -> None:
    """Without a trace in size and `mtime`."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)


def _replace(path: Path) -> None:
    """By another file of the same size and `mtime`."""
    before, other = path.stat(), path.with_suffix(".new")
    other.write_bytes(path.read_bytes()[:-1] + b"\x01")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def test_an_adapter_that_was_seen_before_is_read_into_a_block_without_being_verified_again(
    reader: AdapterReader, slots: AdapterSlots, base: LoadedBase, folder: Path, full_checks: list[Path]
) -> None:
    manifest, tensors = reader.read(folder)
    slots.write(1, manifest, tensors, where=folder)
    again, block = reader.read(folder)
    assert full_checks == [folder]
    assert again == manifest
    assert isinstance(block, Block)
    assert block.keys() == tensors.keys()
    assert all(torch.equal(block[name], tensor) for name, tensor in tensors.items())


def test_weights_that_lie_otherwise_than_in_the_slots_are_read_as_they_are(
    reader: AdapterReader, folder: Path, full_checks: list[Path]
) -> None:
    _, tensors = reader.read(folder)
    _, again = reader.read(folder)  # nothing was written: the slots have no layout yet
    assert full_checks == [folder]
    assert not isinstance(again, Block)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("spoil", [_flip_a_bit, _replace])
@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "adapter_config.json"])
def test_a_file_that_changed_after_the_first_load_is_refused_whatever_its_size_and_time(
    reader: AdapterReader, slots: AdapterSlots, folder: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    manifest, tensors = reader.read(folder)
    slots.write(1, manifest, tensors, where=folder)
    assert isinstance(reader.read(folder)[1], Block)
    spoil(folder / name)
    with pytest.raises(ModelError, match="changed after the training"):
        reader.read(folder)


def test_a_file_that_changes_while_it_is_read_is_refused(base: LoadedBase, slots: AdapterSlots, folder: Path) -> None:
    class Meddled:
        """Room in the slots, which is asked for between the look at the files and the reading."""

        def room(self, weights: WeightsFile) -> Block | None:
            _flip_a_bit(folder / WEIGHTS)
            return slots.room(weights)

    reader = AdapterReader(base.ref, Meddled())
    manifest, tensors = reader.read(folder)
    slots.write(1, manifest, tensors, where=folder)
    with pytest.raises(ModelError, match="changed after the training"):
        reader.read(folder)


def test_a_file_more_or_less_is_noticed_too(reader: AdapterReader, folder: Path) -> None:
    reader.read(folder)
    (folder / "more.py").write_text("")
    with pytest.raises(ModelError, match=r"not in the manifest: more\.py"):
        reader.read(folder)
    (folder / "more.py").unlink()
    (folder / "sub").mkdir()
    (folder / "sub" / "more.py").write_text("")
    with pytest.raises(ModelError, match=r"not in the manifest: sub/more\.py"):
        reader.read(folder)
    shutil.rmtree(folder / "sub")
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="files are missing"):
        reader.read(folder)


def test_an_adapter_written_just_now_is_verified_again(
    reader: AdapterReader, folder: Path, full_checks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write in the same tick of the clock would leave the same times."""
    monkeypatch.setattr(reading, "_SETTLED_S", 600.0)
    reader.read(folder)
    reader.read(folder)
    assert len(full_checks) == 2


def test_a_verdict_does_not_stand_for_ever(
    reader: AdapterReader, folder: Path, full_checks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_TRUSTED_S", 0.0)
    reader.read(folder)
    reader.read(folder)
    assert len(full_checks) == 2


def test_only_so_many_verdicts_are_kept(
    reader: AdapterReader,
    folder: Path,
    trained_adapter: tuple[Any, Any],
    full_checks: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_MOST_KNOWN", 1)
    other = trained_adapter[1].adapter_dir
    for asked in (folder, other, other, folder):
        reader.read(asked)
    assert full_checks == [folder, other, folder]


def test_more_weights_than_one_read_takes_are_all_read(
    reader: AdapterReader, slots: AdapterSlots, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BUFFERS_AT_ONCE", 5)
    manifest, tensors = reader.read(folder)
    slots.write(1, manifest, tensors, where=folder)
    _, block = reader.read(folder)
    assert isinstance(block, Block)
    assert all(torch.equal(block[name], tensor) for name, tensor in tensors.items())
