"""Imports made while a training works in a process of its own.

This process only waits meanwhile. What measures the candidate is there when it is needed then: four seconds of a pass.
Nothing else may import the same libraries beside it: two threads that import what imports each other may meet half of a
module.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nabi.collector import collector_paused

logger = logging.getLogger(__name__)

MEASURING = (
    "nabi.steps.conclude",
    # What these import only where they use it, since others import them who do not.
    "nabi.serving.kv_rows",
    "nabi.evaluation.metrics.chrf",
    "nabi.evaluation.metrics.form",
    "nabi.evaluation.metrics.groundedness",
    "nabi.evaluation.metrics.likelihood",
    "nabi.evaluation.metrics.style",
    "nabi.training.loss",
    "scipy.stats",
    # What transformers imports when it loads a base.
    "transformers.generation.utils",
    "transformers.integrations.accelerate",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
)
"""Everything that takes long to import of what evaluation, gate and deployment use."""


@contextmanager
def importing(modules: Sequence[str]) -> Iterator[None]:
    """Imports modules beside the block, and does not end before they are there.

    One that cannot be imported is only told of: it fails again, in its own words, where it is needed.
    """
    thread = threading.Thread(target=_import, args=(modules,), name="imports made ahead")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import(modules: Sequence[str]) -> None:
    with collector_paused():
        for name in modules:
            try:
                importlib.import_module(name)
            except Exception as error:
                logger.warning("%s cannot be imported ahead of its use: %s", name, error)
