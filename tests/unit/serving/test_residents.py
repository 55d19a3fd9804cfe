from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nabi.errors import ModelError
from nabi.serving.blocks import BARE
from nabi.serving.residents import Adapter, Residents
from nabi.serving.slots import AdapterSlots
from nabi.training.adapter import load_verified
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.train import train_adapter


@pytest.fixture
def base(tiny_base_dir: Path) -> LoadedBase:
    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


@pytest.fixture
def adapters(trained_adapter: tuple[Any, Any]) -> list[Adapter]:
    result = trained_adapter[1]
    return [Adapter(f"p{number}--v1", result.digest, result.adapter_dir) for number in range(4)]


@pytest.fixture
def residents(base: LoadedBase) -> Residents:
    return Residents(AdapterSlots(base.model, 2), base.ref)


def _speak(residents: Residents, adapter: Adapter) -> int | None:
    slot = residents.begin(adapter)
    if slot is not None:
        residents.end(adapter)
    return slot


def test_the_least_recently_used_adapter_makes_room(residents: Residents, adapters: list[Adapter]) -> None:
    first, second = _speak(residents, adapters[0]), _speak(residents, adapters[1])
    assert {first, second} == {1, 2}
    assert _speak(residents, adapters[0]) == first
    assert _speak(residents, adapters[2]) == second
    assert list(residents.digests) == ["p0--v1", "p2--v1"]
    assert (residents.num_loaded, residents.num_evicted) == (3, 1)


def test_an_adapter_that_is_speaking_is_never_evicted(residents: Residents, adapters: list[Adapter]) -> None:
    residents.begin(adapters[0])
    residents.begin(adapters[0])
    residents.begin(adapters[1])
    assert residents.begin(adapters[2]) is None
    residents.end(adapters[0])
    assert residents.begin(adapters[2]) is None
    residents.end(adapters[0])
    assert residents.begin(adapters[2]) == 1
    assert "p0--v1" not in residents


def test_a_champion_makes_room_only_when_nothing_else_can(residents: Residents, adapters: list[Adapter]) -> None:
    residents.keep(["p0--v1"])
    for adapter in adapters[:3]:
        _speak(residents, adapter)
    assert list(residents.digests) == ["p0--v1", "p2--v1"]
    residents.begin(adapters[2])
    assert residents.begin(adapters[1]) is not None
    assert "p0--v1" not in residents


def test_the_bare_base_needs_no_slot(residents: Residents) -> None:
    assert residents.begin(None) == BARE
    residents.end(None)


def test_other_weights_under_a_name_are_refused(residents: Residents, adapters: list[Adapter]) -> None:
    _speak(residents, adapters[0])
    with pytest.raises(ModelError, match="another adapter is loaded as 'p0--v1'"):
        residents.begin(Adapter("p0--v1", "0" * 64, adapters[0].folder))
    with pytest.raises(ModelError, match="was registered with digest 000000000000"):
        residents.begin(Adapter("p9--v1", "0" * 64, adapters[0].folder))


def test_a_damaged_adapter_takes_no_slot(residents: Residents, adapters: list[Adapter], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(adapters[0].folder, folder)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="changed after the training"):
        residents.begin(Adapter("p9--v1", adapters[0].digest, folder))
    assert _speak(residents, adapters[0])
    assert _speak(residents, adapters[1])
    assert residents.begin(adapters[2], residents.read(adapters[2]))


@pytest.fixture(scope="module")
def wide(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """An adapter of twice the rank of the others."""
    recipe = {"r": 8, "alpha": 8, "epochs": 1}
    result = train_adapter(make_job(tmp_path_factory.mktemp("wide"), recipe=recipe), no_progress)
    return Adapter("wide--v1", result.digest, result.adapter_dir)


def _slot_bytes(base: LoadedBase, adapter: Adapter) -> int:
    slots = AdapterSlots(base.model, 1)
    manifest, tensors = load_verified(adapter.folder, base.ref)
    told = slots.slot_bytes_with(manifest, tensors, where=adapter.folder)
    slots.write(1, manifest, tensors, where=adapter.folder)
    assert slots.slot_bytes == told
    slots.close()
    return told


def _sized(base: LoadedBase, max_bytes: int) -> Residents:
    return Residents(AdapterSlots(base.model, 1), base.ref, max_bytes=max_bytes)


def test_a_size_in_bytes_holds_as_many_adapters_as_fit(base: LoadedBase, adapters: list[Adapter]) -> None:
    each = _slot_bytes(base, adapters[0])
    residents = _sized(base, 4 * each + each // 2)  # three adapters and the empty slot
    for adapter in adapters:
        assert _speak(residents, adapter)
    assert list(residents.digests) == ["p1--v1", "p2--v1", "p3--v1"]
    assert (residents.slots.num_slots + 1) * residents.slots.slot_bytes <= 4 * each + each // 2


def test_a_wider_adapter_leaves_room_for_fewer_and_waits_for_those_who_speak(
    base: LoadedBase, adapters: list[Adapter], wide: Adapter
) -> None:
    narrow, each = _slot_bytes(base, adapters[0]), _slot_bytes(base, wide)
    assert each == 2 * narrow
    residents = _sized(base, 3 * each)  # five narrow adapters or two wide ones
    for adapter in adapters[:2]:
        _speak(residents, adapter)
    assert residents.begin(adapters[2]) == 3
    assert residents.begin(wide) is None
    assert list(residents.digests) == ["p0--v1", "p1--v1", "p2--v1"]
    residents.end(adapters[2])
    assert _speak(residents, wide) in {1, 2}
    assert list(residents.digests) == ["p1--v1", "wide--v1"]
    assert (residents.slots.num_slots + 1) * residents.slots.slot_bytes == 3 * each


def test_an_adapter_larger_than_all_the_bytes_is_refused(
    base: LoadedBase, adapters: list[Adapter], wide: Adapter
) -> None:
    residents = _sized(base, 2 * _slot_bytes(base, adapters[0]))
    assert _speak(residents, adapters[0]) == 1
    with pytest.raises(ModelError, match="NABI_ADAPTER_MEMORY_MB"):
        residents.begin(wide)
    assert _speak(residents, adapters[0]) == 1
