"""How every step is run: what is kept of it, and which errors are worth another try."""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import INPUTS, RUN_ID, TASK_SOURCE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from nabi.errors import TransientError


async def is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry condition: something outside was busy or away. Bad data and bad settings stay bad."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, TransientError)


# A run that was killed and started again takes its finished steps from their results. TASK_SOURCE keeps two steps
# with equal inputs apart: without it the second one would be handed the first one's result.
STEP: dict[str, Any] = {
    "persist_result": True,
    "cache_policy": INPUTS + RUN_ID + TASK_SOURCE,
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
}
