"""How busy this machine is: processor, memory and GPU, and whether that leaves room for a training (requirement P6)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from pydantic import Field

from nabi.conversations.records import Frozen
from nabi.errors import ConfigError

logger = logging.getLogger(__name__)


class Limits(Frozen):
    """Shares in percent above which a run waits. Defaults from requirement P6."""

    cpu: float = Field(default=85, gt=0, le=100)
    memory: float = Field(default=80, gt=0, le=100)
    gpu: float = Field(default=90, gt=0, le=100)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU. `percent` is None where the driver does not tell, as on a partitioned (MIG) card."""

    name: str
    percent: float | None
    memory_free_bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment; `gpu_note` says why there is no GPU, or what it does not tell."""

    cpu_percent: float
    memory_percent: float
    gpu: Gpu | None
    gpu_note: str

    def __str__(self) -> str:
        """For people: "CPU 12 %, memory 30 %, no GPU (…)"."""
        gpu = f"no GPU ({self.gpu_note})"
        if self.gpu is not None:
            load = "unknown" if self.gpu.percent is None else f"{self.gpu.percent:.0f} %"
            gpu = f"{self.gpu.name} {load}, {self.gpu.memory_free_bytes / 2**30:.1f} GiB free"
        return f"CPU {self.cpu_percent:.0f} %, memory {self.memory_percent:.0f} %, {gpu}"


def read_resources(gpu_index: int | None = None, *, interval_seconds: float = 1.0) -> Reading:
    """Reads the sensors; takes as long as the interval.

    Args:
        gpu_index: the driver's number of the GPU; None for the one that a training would take, the first in
            `CUDA_VISIBLE_DEVICES` or else number 0.
        interval_seconds: the processor's load is the mean over this span, since a glance would catch single spikes.

    Raises:
        ConfigError: the interval is not above 0.
    """
    if interval_seconds <= 0:
        raise ConfigError(f"the interval is {interval_seconds:g} s; load needs a span of time.", fix="Choose 1, say.")
    cpu = psutil.cpu_percent(interval=interval_seconds)
    gpu, note = _read_gpu(gpu_index)
    return Reading(cpu_percent=cpu, memory_percent=psutil.virtual_memory().percent, gpu=gpu, gpu_note=note)


def busy(reading: Reading, limits: Limits) -> str | None:
    """What is above its limit, as a sentence such as "CPU 97 %, limit 85 %"; None when nothing is."""
    return "; ".join(above(reading, limits).values()) or None


def above(reading: Reading, limits: Limits, margins: Mapping[str, float] | None = None) -> dict[str, str]:
    """The figures above their limits, by name (CPU, memory, GPU), each with its clause for the sentence.

    Args:
        margins: percentage points below its limit that count as above it already, by name.
    """
    loads = {
        "CPU": (reading.cpu_percent, limits.cpu),
        "memory": (reading.memory_percent, limits.memory),
        "GPU": (reading.gpu.percent if reading.gpu else None, limits.gpu),
    }
    return {
        name: f"{name} {_percent(load, limit)} %, limit {limit:g} %"
        for name, (load, limit) in loads.items()
        if load and load > limit - (margins or {}).get(name, 0)
    }


def _percent(load: float, limit: float) -> str:
    """Whole percent, unless rounding would hide on which side of the limit the load is."""
    return f"{load:.0f}" if (round(load) > limit) == (load > limit) else f"{load:.1f}"


def _read_gpu(index: int | None) -> tuple[Gpu | None, str]:
    """The GPU, or why there is none; a machine without a driver is no error."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"no NVIDIA driver answers here ({error})"
    try:
        handle, note = _find_gpu(pynvml, index)
        return (_describe_gpu(pynvml, handle), note) if handle is not None else (None, note)
    except pynvml.NVMLError as error:
        logger.warning("the NVIDIA driver answers, but not about the GPU: %s", error)
        return None, f"the NVIDIA driver does not tell about the GPU ({error})"
    finally:
        pynvml.nvmlShutdown()


def _find_gpu(pynvml: Any, index: int | None) -> tuple[Any, str]:
    """The driver's handle of the GPU, and a note; no handle where all are hidden from this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    first = (visible or "").split(",")[0].strip()
    if index is None and visible is not None and first in ("", "-1"):
        return None, f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU"
    if index is None and first and not first.isdecimal():
        return _by_uuid(pynvml, first), ""
    card = pynvml.nvmlDeviceGetHandleByIndex(index if index is not None else int(first or 0))
    return _partition_of(pynvml, card), ""


def _by_uuid(pynvml: Any, asked: str) -> Any:
    """The card or partition of a UUID; CUDA takes the beginning of a card's for the whole."""
    cards = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
    for card in cards:
        if asked.startswith("GPU-") and str(pynvml.nvmlDeviceGetUUID(card)).startswith(asked):
            return _partition_of(pynvml, card)
    return pynvml.nvmlDeviceGetHandleByUUID(asked)


def _partition_of(pynvml: Any, card: Any) -> Any:
    """What CUDA takes of a card: its first partition where it is partitioned (MIG), whose memory is not the card's."""
    try:
        is_partitioned = pynvml.nvmlDeviceGetMigMode(card)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    except pynvml.NVMLError_NotSupported:
        return card
    return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, 0) if is_partitioned else card


def _describe_gpu(pynvml: Any, handle: Any) -> Gpu:
    try:
        percent: float | None = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except pynvml.NVMLError_NotSupported:
        percent = None
    free = int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)
    return Gpu(name=str(pynvml.nvmlDeviceGetName(handle)), percent=percent, memory_free_bytes=free)
