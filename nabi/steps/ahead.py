"""Imports made while a training has a process of its own and this one only waits: what measures the candidate is then
there when it is needed, three seconds of a pass earlier."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

logger = logging.getLogger(__name__)

MEASURING = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "nabi.steps.conclude",
    "nabi.serving.kv_rows",
)
"""Libraries by the module that brings them; the steps after a training import them where they use them."""


@contextmanager
def importing(modules: Sequence[str]) -> Iterator[None]:
    """Imports modules beside the block, which ends when they are there.

    One that cannot be imported is only told of: it fails again, in its own words, where it is needed.
    """
    thread = threading.Thread(target=_import, args=(modules,), name="imports made ahead")
    thread.start()
    try:
        yield
    finally:
        # Two threads that import the same modules at once may meet half of one.
        thread.join()


def _import(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            logger.warning("%s cannot be imported ahead of its use: %s", name, error)
