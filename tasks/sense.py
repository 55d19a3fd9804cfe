"""Sense: what the machine has left before anything heavy starts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from nabi.resources.sensors import busy, read_resources
from nabi.wiring import get_platform
from tasks.resilience import step

logger = logging.getLogger("nabi.progress")

# The control loop has watched for half a minute before: this look is the second line, and each run waits for it.
_GLANCE_SECONDS = 0.25
_AGAIN_SECONDS = 4.0


@dataclass(frozen=True)
class Sensed:
    """What a run goes by that is about to begin: what is saturated, if anything is, and the free memory of the GPU."""

    saturated: str | None
    gpu_free_bytes: int | None


@step("sense resources", seconds=60, kept=False)
def sense() -> Sensed:
    """Reads CPU, memory and the GPU that would train."""
    limits = get_platform().limits
    reading = read_resources(interval_seconds=_GLANCE_SECONDS)
    if busy(reading, limits):
        # A process that starts beside this one is a spike: look again for longer before a run is sent back.
        reading = read_resources(interval_seconds=_AGAIN_SECONDS)
    sentence = busy(reading, limits)
    logger.info("%s%s", reading, f": busy ({sentence})" if sentence else "")
    return Sensed(saturated=sentence, gpu_free_bytes=reading.gpu.memory_free_bytes if reading.gpu else None)
