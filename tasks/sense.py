"""Sense: what the machine has left before anything heavy starts."""

from __future__ import annotations

import logging

from nabi.resources.sensors import Limits, busy, read_resources
from tasks.resilience import step

logger = logging.getLogger("nabi.progress")


@step("sense resources", seconds=60, kept=False)
def sense() -> str | None:
    """Reads CPU, memory and GPU; the sentence that says what is saturated, or None."""
    reading = read_resources()
    sentence = busy(reading, Limits())
    logger.info("%s%s", reading, f": busy ({sentence})" if sentence else "")
    return sentence
