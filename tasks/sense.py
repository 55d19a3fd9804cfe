"""Sense: what the machine has left before anything heavy starts."""

from __future__ import annotations

import logging

from prefect import task

from nabi.resources.sensors import Limits, busy, read_resources

logger = logging.getLogger("nabi.progress")


@task(name="sense resources", timeout_seconds=60)
def sense() -> str | None:
    """Reads CPU, memory and GPU; the sentence that says what is saturated, or None."""
    reading = read_resources()
    sentence = busy(reading, Limits())
    logger.info("%s%s", reading, f": busy ({sentence})" if sentence else "")
    return sentence
