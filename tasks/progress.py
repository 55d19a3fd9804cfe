"""Live progress of a whole pass on one bar a persona, where people look: the Prefect UI, the terminal, the console."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from uuid import UUID

from nabi.errors import TransientError
from nabi.steps.window import Window
from nabi.wiring import get_platform
from tasks.pages import move_bar, open_bar

logger = logging.getLogger("nabi.progress")

# Requirement B2: 0–30 the dataset, 30–90 the training, 90–100 measuring and saving.
STAGES: dict[str, tuple[float, str]] = {
    "collect": (2, "reading what was said"),
    "filter": (6, "sorting out what may not be learned from"),
    "bootstrap": (12, "filling up from the catalogue"),
    "snapshot": (18, "writing the dataset"),
    "train": (30, "training"),
    "evaluate": (90, "measuring the candidate against the champion"),
    "judge": (96, "asking the judge"),
    "gate": (97, "deciding"),
    "people": (98, "waiting for people's votes"),
    "conclude": (99, "saving the decision"),
}
TRAINING_FROM, TRAINING_TO = 30.0, 90.0
_SECONDS_BETWEEN_UPDATES = 1.0  # each update is a request to the server
_POINTS_BETWEEN_LINES = 10.0  # percentage points; a terminal is read line by line

_bars: dict[Window, tuple[UUID, float]] = {}


def enter(window: Window, stage: str) -> None:
    """Moves the persona's bar to where a stage begins; the first stage makes the bar."""
    percent, words = STAGES[stage]
    _move(window, percent, words)
    _note(window, stage, percent, words)


def reached(window: Window) -> float:
    """How far the persona's bar has come, in percent."""
    return _bars[window][1] if window in _bars else 0.0


def training_progress(window: Window) -> Callable[[float, str], None]:
    """A callback (share of the training 0..1, message) that moves the bar from 30 to 90 %."""
    last_update, last_line = 0.0, -_POINTS_BETWEEN_LINES

    def report(share: float, message: str) -> None:
        nonlocal last_update, last_line
        percent = TRAINING_FROM + (TRAINING_TO - TRAINING_FROM) * share
        now = time.monotonic()
        if share >= 1 or now - last_update >= _SECONDS_BETWEEN_UPDATES:
            last_update = now
            _move(window, percent, message, line=False)
            _note(window, "train", percent, message)
        if share >= 1 or percent - last_line >= _POINTS_BETWEEN_LINES:
            last_line = percent
            _print(window, percent, message)

    return report


def end(window: Window, sentence: str, *, failed: bool = False) -> None:
    """The bar's last word: full with how the pass ended; after a failure it stays where it was and says why."""
    _move(window, reached(window) if failed else 100.0, sentence, last=True, line=False)
    _bars.pop(window, None)


def _move(window: Window, percent: float, words: str, *, last: bool = False, line: bool = True) -> None:
    if line:
        _print(window, percent, words)
    if window in _bars:
        bar = _bars[window][0]
        move_bar(bar, percent, words, last=last)
    else:
        bar = open_bar(f"{window.persona_id}-{window.as_of:%Y%m%dt%H%M}", percent, words)
        move_bar(bar, percent, words, last=last)
    _bars[window] = bar, percent


def _note(window: Window, stage: str, percent: float, words: str) -> None:
    """For the console. It is only news: while the database is away the run goes on without it."""
    book = get_platform().progress
    try:
        book.note(window.persona_id, window.as_of, window.line, stage=stage, percent=percent, told=words)
    except TransientError as error:
        logger.info("%s: the console missed a piece of news: %s", window.persona_id, error)


def _print(window: Window, percent: float, words: str) -> None:
    logger.info("%s %3.0f %%  %s", window.persona_id, percent, words)
