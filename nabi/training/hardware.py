"""What a training runs on, and the memory it has there: the same bits can only be asked of the same kind of machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def hardware(device: str) -> dict[str, str]:
    """Processor, cores, memory and the GPU that was used, each in words."""
    told = {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "device": device,
    }
    if device == "cuda":
        import torch

        told["gpu"] = torch.cuda.get_device_name()
    return told


def free_memory(device: str) -> int:
    """Bytes that a training in this process could use now."""
    if device == "cpu":
        return psutil.virtual_memory().available
    import torch

    # What this process holds, a base from the training before, it can use or give back.
    return int(torch.cuda.mem_get_info()[0]) + torch.cuda.memory_reserved()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
