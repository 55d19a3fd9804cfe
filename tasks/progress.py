"""Live progress of a step, where people look: the Prefect UI (artifact) and the terminal (log line)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

logger = logging.getLogger("nabi.progress")

# Requirement B2: where each phase of a training lies on one bar.
DATASET_SHARE, TRAINING_SHARE = 30.0, 60.0
_SECONDS_BETWEEN_UPDATES = 1.0  # each update is a request to the server
_POINTS_BETWEEN_LINES = 10.0  # percentage points; a terminal is read line by line


def training_progress(key: str) -> Callable[[float, str], None]:
    """A callback (share of the training 0..1, message) that moves one bar from 30 to 90 %.

    Args:
        key: names the bar, e.g. `nabiyam-20260701t0300`; lower case, digits and dashes.
    """
    bar = cast(UUID, create_progress_artifact(progress=DATASET_SHARE, key=key, description="dataset ready"))
    last_update, last_line = 0.0, -_POINTS_BETWEEN_LINES

    def report(share: float, message: str) -> None:
        nonlocal last_update, last_line
        percent = DATASET_SHARE + TRAINING_SHARE * share
        now = time.monotonic()
        if share >= 1 or now - last_update >= _SECONDS_BETWEEN_UPDATES:
            last_update = now
            update_progress_artifact(artifact_id=bar, progress=percent, description=message)
        if share >= 1 or percent - last_line >= _POINTS_BETWEEN_LINES:
            last_line = percent
            logger.info("%3.0f %%  %s", percent, message)

    return report
