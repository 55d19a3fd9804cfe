"""Deploy or keep, skip, fail: how a pass ends, each in one sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nabi.error_kinds import Kind, explanation, kind_of
from nabi.steps import no_candidate
from nabi.steps.window import Ending, Filled, Judged, Window
from nabi.waiting import persist
from nabi.wiring import get_platform
from tasks.progress import end, enter
from tasks.resilience import patience, step

logger = logging.getLogger("nabi.progress")


@step("deploy", of="{judged.candidate.window.persona_id}", seconds=600)
def deploy(judged: Judged) -> Ending:
    from nabi.steps import conclude as core

    enter(judged.candidate.window, "conclude")
    return _told(core.deploy(get_platform(), judged))


@step("keep the champion", of="{judged.candidate.window.persona_id}", seconds=600)
def keep(judged: Judged) -> Ending:
    from nabi.steps import conclude as core

    enter(judged.candidate.window, "conclude")
    return _told(core.keep(get_platform(), judged))


@step("skip", of="{filled.window.persona_id}", seconds=60)
def skip(filled: Filled, why: str) -> Ending:
    return _told(no_candidate.skip(get_platform(), filled, why))


@contextmanager
def each_fails_alone(window: Window, endings: list[Ending]) -> Iterator[None]:
    """One persona's failure is recorded as its ending and does not stop the others; the run still ends as failed."""
    with none_left_open([window], endings):
        yield


@contextmanager
def none_left_open(windows: Sequence[Window], endings: list[Ending]) -> Iterator[None]:
    """What fails inside ends as failed each window that has no ending yet: only what is noted reaches a person."""
    try:
        yield
    except Exception as error:
        kind = kind_of(error)
        ended = {ending.window for ending in endings}
        left = [window for window in windows if window not in ended]
        if kind is Kind.TAKEN_OVER or not left:
            raise  # how it ends is for whoever works on it now to say; or there is nothing that could say it
        endings += [_fail(window, error, kind) for window in left]


def _fail(window: Window, error: Exception, kind: Kind) -> Ending:
    # The trace of a mistake of ours goes to the log: nobody else can mend it.
    logger.error("%s: %s", window.persona_id, explanation(error), exc_info=error if kind is Kind.OUR_BUG else None)
    with patience("failing"):
        platform = get_platform()
        ending = persist(lambda: no_candidate.fail(platform, window, explanation(error), kind))
        end(window, ending.sentence, failed=True)
        return ending


def _told(ending: Ending) -> Ending:
    end(ending.window, ending.sentence)
    return ending
