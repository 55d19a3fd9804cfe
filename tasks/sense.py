"""Sense: what the machine has left before anything heavy starts."""

from __future__ import annotations

import logging

from nabi.resources.sensors import busy, read_resources
from nabi.wiring import get_platform
from tasks.resilience import step

logger = logging.getLogger("nabi.progress")

# The control loop has watched for half a minute before: this look is the second line, and each run waits for it.
_GLANCE_SECONDS = 0.25
_AGAIN_SECONDS = 4.0


@step("sense resources", seconds=60, kept=False)
def sense() -> str | None:
    """Reads CPU, memory and GPU; the sentence that says what is saturated, or None."""
    limits = get_platform().limits
    reading = read_resources(interval_seconds=_GLANCE_SECONDS)
    if busy(reading, limits):
        # A process that starts beside this one is a spike: look again for longer before a run is sent back.
        reading = read_resources(interval_seconds=_AGAIN_SECONDS)
    sentence = busy(reading, limits)
    logger.info("%s%s", reading, f": busy ({sentence})" if sentence else "")
    return sentence
