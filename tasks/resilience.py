"""How every step is run: what is kept of it, which errors are worth another try, and how long it waits for whom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import task
from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.runtime import task_run
from prefect.tasks import Task

from nabi.error_kinds import is_worth_another_try
from nabi.settings import Settings
from nabi.waiting import JITTER, Patience, Wait, patient, pauses
from nabi.wiring import get_platform
from tasks.pages import show_waiting

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("nabi.progress")
# Prefect keeps what this logger lets through, for the run's page and for commands that follow a run; it gives it no
# level of its own, so that the root's would hold all lines back.
logger.setLevel(logging.INFO)

# Prefect repeats the last pause for the tries that the list does not name.
_PAUSES = list(islice(pauses(), 6))
_MAX_TRIES = 1_000_000  # time ends the tries, not their number
_first_failure: dict[UUID, datetime] = {}


def step(name: str, *, seconds: float, of: str = "", kept: bool = True) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task of the loop: tried again while something outside is busy or away, finished only once.

    A call to MLflow or Prefect that gets no answer waits where it stands, so that no finished work is done anew; any
    other transient error repeats the step. Both end after `patience_seconds`, an outage each.

    Args:
        of: whom it serves, as a format string over its parameters, e.g. `{window.persona_id}`.
        seconds: the longest that the work itself may take; an outage may come on top.
        kept: whether a run that was killed and started again takes the step's result instead of doing it again.
    """
    longest_outage = Settings().patience_seconds

    def decorate(work: Callable[P, R]) -> Task[P, R]:
        @wraps(work)
        def patiently(*args: P.args, **kwargs: P.kwargs) -> R:
            with patience(name):
                # Leaves word of the step for whoever finds this process dead; ends it when the work is another's.
                get_platform().holding.at(task_run.name or name)
                result = work(*args, **kwargs)
            _goes_on()
            return result

        return task(
            name=name,
            task_run_name=f"{of}: {name}" if of else name,
            timeout_seconds=seconds + longest_outage,
            persist_result=kept,
            # TASK_SOURCE keeps two steps with equal inputs apart: without it the second one would be handed the first
            # one's result.
            cache_policy=INPUTS + RUN_ID + TASK_SOURCE if kept else NO_CACHE,
            retries=_MAX_TRIES,
            retry_delay_seconds=_PAUSES,
            retry_jitter_factor=JITTER,
            retry_condition_fn=_may_be_tried_again,
        )(patiently)

    return decorate


@contextmanager
def patience(doing: str) -> Iterator[None]:
    """What is asked of MLflow or Prefect inside the block waits for an answer, and the run says what it waits for."""
    with patient(Patience(Settings().patience_seconds, lambda wait: _tell(doing, wait))):
        yield


def _may_be_tried_again(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry condition: something outside was busy or away, and not for too long yet."""
    error = state.data
    if not isinstance(error, Exception) or not is_worth_another_try(error):
        return False
    now = datetime.now(UTC)
    since = _first_failure.setdefault(run.id, now)
    until = since + timedelta(seconds=Settings().patience_seconds)
    if now < until:
        _tell(task.name, Wait(str(error), since, until))
    return now < until


def _goes_on() -> None:
    """Takes the word about waiting back once a step that was tried again has succeeded."""
    context = TaskRunContext.get()
    if context and _first_failure.pop(context.task_run.id, None):
        show_waiting(None)


def _tell(name: str, wait: Wait | None) -> None:
    if wait:
        logger.warning("%s: %s", name, wait)
    show_waiting(f"{name}: {wait}" if wait else None)
