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


def training_progress(key: str) -> Callable[[float, str], None]:
    """A callback (share of the training 0..1, message) that moves one bar from 30 to 90 %.

    Args:
        key: names the bar, e.g. `nabiyam-20260701t0300`; lower case, digits and dashes.
    """
    bar = cast(UUID, create_progress_artifact(progress=DATASET_SHARE, key=key, description="dataset ready"))
    last_update = 0.0

    def report(share: float, message: str) -> None:
        nonlocal last_update
        now = time.monotonic()
        if share < 1 and now - last_update < _SECONDS_BETWEEN_UPDATES:
            return
        last_update = now
        percent = DATASET_SHARE + TRAINING_SHARE * share
        update_progress_artifact(artifact_id=bar, progress=percent, description=message)
        logger.info("%3.0f %%  %s", percent, message)

    return report
