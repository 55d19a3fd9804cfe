"""Deploy or keep, skip, fail: how a pass ends, each in one sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import task

from nabi.errors import NabiError
from nabi.steps import conclude as core
from nabi.steps.conclude import Judged
from nabi.steps.window import Ending, Filled, Window
from nabi.wiring import get_platform
from tasks.resilience import STEP

logger = logging.getLogger("nabi.progress")


@task(name="deploy", timeout_seconds=600, **STEP)
def deploy(judged: Judged) -> Ending:
    return core.deploy(get_platform(), judged)


@task(name="keep the champion", timeout_seconds=600, **STEP)
def keep(judged: Judged) -> Ending:
    return core.keep(get_platform(), judged)


@task(name="skip", timeout_seconds=60, **STEP)
def skip(filled: Filled, why: str) -> Ending:
    return core.skip(get_platform(), filled, why)


@contextmanager
def each_fails_alone(window: Window, endings: list[Ending]) -> Iterator[None]:
    """One persona's failure is recorded as its ending and does not stop the others; the run still ends as failed."""
    try:
        yield
    except NabiError as error:
        logger.error("%s: %s", window.persona_id, error)
        endings.append(core.fail(get_platform(), window, str(error)))
    except Exception as error:
        # A mistake of ours, not of the data: the trace goes to the log, and the other personas still get their turn.
        logger.exception("%s: unexpected", window.persona_id)
        endings.append(core.fail(get_platform(), window, f"unexpected {type(error).__name__}: {error}"))
