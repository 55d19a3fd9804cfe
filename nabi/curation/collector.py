"""Python's search for cycles of garbage, put off while a block is judged.

A block makes many objects that live for a moment and no cycles, yet every few hundred of them start a search through
the whole process, with torch or spaCy loaded a third of the time of a curation. Reference counting frees them anyway.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for cycles inside; one that was switched off before stays so."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
