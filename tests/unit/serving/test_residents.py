from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from nabi.errors import ModelError
from nabi.serving.residents import Adapter, Residents, read_checked
from nabi.serving.slots import BARE, AdapterSlots
from nabi.training.base_model import LoadedBase, load_base, resolve_base


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


def test_a_damaged_adapter_takes_no_slot(
    residents: Residents, adapters: list[Adapter], base: LoadedBase, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(adapters[0].folder, folder)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="changed after the training"):
        residents.begin(Adapter("p9--v1", adapters[0].digest, folder))
    assert _speak(residents, adapters[0])
    assert _speak(residents, adapters[1])
    assert residents.begin(adapters[2], read_checked(adapters[2], base.ref))
