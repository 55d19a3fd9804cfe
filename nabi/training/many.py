"""Many adapters in one process: a base is loaded once for all over it, and a GPU computes several as one batch."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nabi.errors import NabiError, OutOfMemory
from nabi.training.base_model import LoadedBases
from nabi.training.plan import Machine, adapters_at_once, this_machine
from nabi.training.tokenise import TokenCache
from nabi.training.train import (
    Ready,
    TrainingJob,
    TrainingResult,
    announce,
    borrowed,
    done_before,
    finish,
    make_ready,
    make_task,
    memory_errors,
    num_samples,
    train_ready,
)
from nabi.training.workplace import workplace

if TYPE_CHECKING:
    from nabi.training.trainer import Fitted, Task

logger = logging.getLogger(__name__)

_OnEnd = Callable[[int, TrainingResult | NabiError], None]


def train_adapters(
    jobs: Sequence[TrainingJob],
    on_progress: Callable[[int, float, str], None],
    on_end: _OnEnd,
    *,
    at_once: int | None = None,
) -> None:
    """Train many adapters in this process; a base is loaded once for all that follow each other.

    On a GPU those of one base, rank, target modules and batch size are computed as one batch, as many as fit its
    memory, and half as many where they do not. On a CPU one after another: several adapters in one batch measured 0.66
    times the speed. A failure is told as that job's end and keeps no other from its training.

    Args:
        on_progress: gets the job's place in `jobs`, the share done and a line for people.
        on_end: gets the job's place and what became of it, as soon as it is known.
        at_once: so many adapters as one batch at most, instead of what device and memory decide.
    """
    run = _Run(this_machine(), LoadedBases(), TokenCache(), on_progress, on_end)
    kinds: dict[Hashable, dict[int, Ready]] = {}
    for place, job in enumerate(jobs):
        with _telling(on_end, place):
            if done := done_before(job):
                on_end(place, done)
            else:
                ready = make_ready(job, run.machine)
                kinds.setdefault(ready.kind, {})[place] = ready
    for waiting in kinds.values():
        _train_kind(waiting, run, at_once)


@dataclass(frozen=True)
class _Run:
    """What the trainings of one run share."""

    machine: Machine
    bases: LoadedBases
    tokens: TokenCache
    on_progress: Callable[[int, float, str], None]
    on_end: _OnEnd


def _train_kind(waiting: dict[int, Ready], run: _Run, at_once: int | None) -> None:
    """Train adapters that may share a batch, as many at once as fit; `waiting` is empty afterwards."""
    most = len(waiting)

    def end(place: int, outcome: TrainingResult | NabiError) -> None:
        del waiting[place]
        run.on_end(place, outcome)

    while waiting:
        (place, first), *_ = waiting.items()
        some = dict(islice(waiting.items(), min(most, at_once or _as_fit(first, run.machine))))
        if len(some) == 1:
            with _telling(end, place):
                end(place, train_ready(first, run.bases, run.tokens, partial(run.on_progress, place)))
            continue
        try:
            _train_as_one_batch(some, run, end)
        except OutOfMemory as error:
            most = len(some) // 2
            logger.warning("%s; going on with %d at once", error.what, most)
        except NabiError as error:
            for unended in [place for place in some if place in waiting]:
                end(unended, error)
        _release_memory()


def _as_fit(ready: Ready, machine: Machine) -> int:
    if machine.device == "cuda":
        machine = this_machine()  # its free memory, as it is by now
    num_bad = len(ready.bad)
    return adapters_at_once(ready.ref, ready.job.recipe, machine, ready.plan, rows=ready.rows, num_bad=num_bad)


def _release_memory() -> None:
    """Give back what a group that ended left in memory; after a failure its tensors hang in cycles."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class _Place:
    """Where one adapter of a group comes to lie; `contexts` are those of its workplace."""

    number: int
    ready: Ready
    contexts: ExitStack
    folder: Path
    task: Task


def _train_as_one_batch(some: Mapping[int, Ready], run: _Run, on_end: _OnEnd) -> None:
    """Train several adapters at once, and tell each one's end by itself.

    Raises:
        OutOfMemory: they do not fit the memory together. Those that have not ended keep their checkpoints.
        ModelError: the base cannot be loaded, or cannot hold several adapters.
    """
    from nabi.training.grouped import fit_together

    started = time.monotonic()
    first = next(iter(some.values()))
    told = f"{len(some)} adapters with {num_samples(first.rows)} each at once do not fit the memory"
    with memory_errors(told, first.plan), borrowed(run.bases, first) as base, ExitStack() as opened:
        places: list[_Place] = []
        for number, ready in some.items():
            on_progress = partial(run.on_progress, number)
            announce(ready, on_progress)
            with _telling(on_end, number):
                contexts = opened.enter_context(ExitStack())
                job = ready.job
                folder, checkpoints = contexts.enter_context(workplace(job.out_dir, ready.provenance, job.save_every))
                task = make_task(ready, base, run.tokens, checkpoints, on_progress)
                places.append(_Place(number, ready, contexts, folder, task))

        def end(number: int, outcome: Fitted | NabiError) -> None:
            place = places[number]
            with _telling(on_end, place.number):
                with place.contexts:
                    if isinstance(outcome, NabiError):
                        raise outcome
                    ready, num = place.ready, len(places)
                    result = finish(ready, base, place.folder, place.task, outcome, together=num, started=started)
                on_end(place.number, result)

        if places:
            fit_together(base, [place.task for place in places], end)


@contextmanager
def _telling(on_end: _OnEnd, place: int) -> Iterator[None]:
    """Tell an error of nabi's inside as that job's end."""
    try:
        yield
    except NabiError as error:
        on_end(place, error)
