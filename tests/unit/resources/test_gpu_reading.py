"""How the driver is asked about the GPU. A hand-made driver stands in, since the tests run without a card."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pynvml
import pytest

from nabi.resources.sensors import Reading, read_resources

GIB = 2**30
SLICE = 20  # the handle of the third card's first partition
UUIDS = ("zero", "one", "two")


class Driver:
    """Three cards; the second does not tell its load, and the third is partitioned."""

    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE
    NVMLError = pynvml.NVMLError
    NVMLError_NotSupported = pynvml.NVMLError_NotSupported  # type: ignore[attr-defined]

    def __init__(self) -> None:
        self.open_sessions = 0

    def nvmlInit(self) -> None:
        self.open_sessions += 1

    def nvmlShutdown(self) -> None:
        self.open_sessions -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index > 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return index

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{UUIDS[handle]}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if uuid != "MIG-slice":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return SLICE

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:
        if handle == 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(handle == 2), int(handle == 2)]

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int) -> int:
        assert (handle, index) == (2, 0)
        return SLICE

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if handle in (1, SLICE):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=93)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(free=(handle + 1) * GIB)

    def nvmlDeviceGetName(self, handle: int) -> str:
        return f"card {handle}"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    stand_in = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)  # type: ignore[arg-type]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return stand_in


def seen(index: int | None = None) -> Reading:
    return read_resources(index, interval_seconds=0.01)


def test_the_first_card_is_read_by_default_and_the_driver_is_let_go(driver: Driver) -> None:
    gpu = seen().gpu
    assert gpu is not None
    assert (gpu.name, gpu.percent, gpu.memory_free_bytes) == ("card 0", 93, GIB)
    assert driver.open_sessions == 0


@pytest.mark.parametrize(
    ("visible", "name"),
    [("1,0", "card 1"), ("GPU-one", "card 1"), ("GPU-on", "card 1"), ("0", "card 0"), ("MIG-slice", f"card {SLICE}")],
)
def test_the_card_is_the_one_that_a_training_would_take(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, visible: str, name: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu = seen().gpu
    assert gpu is not None
    assert gpu.name == name


def test_hidden_cards_are_said(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert seen().gpu_note == "CUDA_VISIBLE_DEVICES='-1' hides every GPU"
    assert driver.open_sessions == 0


def test_a_card_that_does_not_tell_its_load_still_tells_its_memory(driver: Driver) -> None:
    gpu = seen(1).gpu
    assert gpu is not None
    assert (gpu.percent, gpu.memory_free_bytes) == (None, 2 * GIB)


@pytest.mark.parametrize("visible", ["2", "GPU-tw", "GPU-two,GPU-one"])
def test_of_a_partitioned_card_the_first_partition_counts_as_cuda_takes_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu = seen().gpu
    assert gpu is not None
    assert (gpu.name, gpu.percent, gpu.memory_free_bytes) == (f"card {SLICE}", None, (SLICE + 1) * GIB)


def test_a_uuid_that_no_card_has_is_said(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-gone")
    assert "does not tell about the GPU" in seen().gpu_note


def test_cuda_counts_the_cards_as_the_driver_does() -> None:
    code = "import os, nabi.training.worker; print(os.environ['CUDA_DEVICE_ORDER'])"
    plain = {name: value for name, value in os.environ.items() if name != "CUDA_DEVICE_ORDER"}
    environment = {**plain, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "PCI_BUS_ID"


def test_an_index_that_does_not_exist_is_said(driver: Driver) -> None:
    reading = seen(7)
    assert reading.gpu is None
    assert "does not tell about the GPU" in reading.gpu_note
    assert driver.open_sessions == 0
