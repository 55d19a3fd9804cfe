"""Python's search for cycles of garbage, put off where it finds none.

Every few hundred new objects start a search, now and then through the whole process. A block of conversations that is
judged makes many that live for a moment, in no cycles: a third of the time of a curation with torch or spaCy loaded.
What large libraries make when they are imported lives for ever: a fifth of the time of these imports.
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
