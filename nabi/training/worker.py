"""Trainings in a process of their own: its memory goes back whole, and its death cannot take the caller along.

`train_together` starts `python -m nabi.training.worker JOBFILE`. The child writes one JSON object a line to stdout
(each job's progress, then its result or its error) and everything else to stderr. It ends by itself when its stdin
closes, which happens when the parent dies, however it dies.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, Any

import psutil

import nabi.errors
from nabi.conversations.records import Frozen
from nabi.errors import NabiError, OutOfMemory, TransientError
from nabi.training.base_model import pick_device
from nabi.training.libraries import leave_out_bitsandbytes
from nabi.training.many import train_adapters
from nabi.training.progress import Progress
from nabi.training.train import TrainingJob, TrainingResult, train_adapter

logger = logging.getLogger(__name__)

_STDERR_LINES = 40
_GRACE_SECONDS = 5.0
# The machine's count and this container's.
_OOM_COUNTERS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))


class _Order(Frozen):
    """What a child is to do."""

    jobs: list[TrainingJob]
    at_once: int | None


def training_environment(threads: int | None) -> dict[str, str]:
    """Variables that must be set before a process that trains starts; they are read once, when torch is imported.

    One malloc arena keeps memory from growing with varying batch shapes. Setting glibc's trim threshold alone would
    also freeze its mmap threshold at 128 kB: every large tensor then came as fresh, zeroed pages and a step took three
    times as long, so both are set. The hash seed settles the order of sets.
    """
    variables = {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "100000000",
        "MALLOC_MMAP_THRESHOLD_": "33554432",
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    return variables if threads is None else variables | {"OMP_NUM_THREADS": str(threads)}


def train_in_own_process(
    job: TrainingJob, on_progress: Progress, *, meanwhile: AbstractContextManager[None] | None = None
) -> TrainingResult:
    """`train_together` for one job.

    Args:
        meanwhile: what goes on in this process while it only waits for the child; left out where none is needed.

    Raises:
        OutOfMemory: one sample at a time does not fit the memory either.
        TransientError: a signal ended the child.
        NabiError: what the child raised, or that it died for a reason it could not tell.
    """
    if job.out_dir.exists():
        return train_adapter(job, on_progress)  # a glance, no training: no process is worth starting
    with meanwhile or contextlib.nullcontext():
        (outcome,) = train_together([job], lambda _place, share, message: on_progress(share, message))
    if isinstance(outcome, NabiError):
        raise outcome
    return outcome


def train_together(
    jobs: Sequence[TrainingJob], on_progress: Callable[[int, float, str], None], *, at_once: int | None = None
) -> list[TrainingResult | NabiError]:
    """Train many adapters in one child process, each base loaded once; what became of each job, in their order.

    An error of nabi's comes back as the class that the child raised, as the job's outcome. A child that dies takes the
    job at hand with it; another one goes on with the rest, one after another. If it had several at hand, in one batch,
    nobody can tell whose fault it was, and all of them go on. Where memory runs out for one, a new child goes on from
    the job's newest checkpoint with half as many samples at once, down to one. A step still sees as many samples as the
    recipe says, in twice as many parts, and weighs each token alike.

    Args:
        on_progress: gets the job's place in `jobs`, the share done and a line for people.
        at_once: so many adapters in one batch at most; None: as `train_adapters` decides.
    """
    outcomes: dict[int, TrainingResult | NabiError] = {}
    rows = [job.rows or job.recipe.batch_size for job in jobs]
    while waiting := [place for place in range(len(jobs)) if place not in outcomes]:
        again = [jobs[place].model_copy(update={"rows": rows[place]}) for place in waiting]
        told = _train_once(_Order(jobs=again, at_once=at_once), partial(_renamed, on_progress, waiting))
        if len(told) < len(waiting):
            at_once = 1
        for number, outcome in told.items():
            place = waiting[number]
            if isinstance(outcome, OutOfMemory) and rows[place] > 1:
                whole, rows[place] = jobs[place].recipe.samples_a_step, rows[place] // 2
                logger.warning("%s; going on with %d of a step's %d", outcome.what, rows[place], whole)
            else:
                outcomes[place] = outcome
    return [outcomes[place] for place in range(len(jobs))]


def _renamed(
    on_progress: Callable[[int, float, str], None], places: Sequence[int], number: int, share: float, message: str
) -> None:
    on_progress(places[number], share, message)


def _train_once(order: _Order, on_progress: Callable[[int, float, str], None]) -> dict[int, TrainingResult | NabiError]:
    with tempfile.TemporaryDirectory(prefix="nabi-job-") as folder:
        job_file = Path(folder) / "jobs.json"
        job_file.write_text(order.model_dump_json(), encoding="utf-8")
        return _run_child([sys.executable, "-m", "nabi.training.worker", str(job_file)], order.jobs, on_progress)


def _run_child(
    command: list[str], jobs: Sequence[TrainingJob], on_progress: Callable[[int, float, str], None]
) -> dict[int, TrainingResult | NabiError]:
    """The outcomes that the child told, by the jobs' number; the one that it died of, if it did, among them."""
    environment = os.environ | training_environment(jobs[0].threads)
    kills_before = _oom_kills()
    with _child(command, environment) as child:
        tail: deque[str] = deque(maxlen=_STDERR_LINES)
        reader = threading.Thread(target=_drain, args=(child.stderr, tail), daemon=True)
        reader.start()
        outcomes, at_hand = _follow(child.stdout, on_progress)
        code = child.wait()
        reader.join(_GRACE_SECONDS)
    if len(outcomes) < len(jobs) and len(at_hand) < 2:
        for_memory = kills_before is None or _oom_kills() != kills_before
        place = next(number for number in range(len(jobs)) if number not in outcomes and at_hand <= {number})
        outcomes[place] = _died(code, tail, for_memory=for_memory)
    return outcomes


@contextlib.contextmanager
def _child(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The child, which is gone afterwards whatever happened here, an interrupt included."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="replace",
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def _drain(stream: IO[str] | None, tail: deque[str]) -> None:
    for line in stream or ():
        tail.append(line.rstrip())
        logger.debug("training: %s", line.rstrip())


def _follow(
    stream: IO[str] | None, on_progress: Callable[[int, float, str], None]
) -> tuple[dict[int, TrainingResult | NabiError], set[int]]:
    """Pass the progress on; what became of each job that came to an end, and those that had begun and did not."""
    outcomes: dict[int, TrainingResult | NabiError] = {}
    begun: set[int] = set()
    for line in stream or ():
        message = json.loads(line)
        if message["kind"] == "progress":
            begun.add(message["job"])
            on_progress(message["job"], message["share"], message["message"])
        elif message["kind"] == "result":
            outcomes[message["job"]] = TrainingResult.model_validate(message["result"])
        else:
            outcomes[message["job"]] = _raised(message)
    return outcomes, begun - outcomes.keys()


def _raised(outcome: dict[str, Any]) -> NabiError:
    """The child's error as the same class; only the classes of `nabi.errors` can be named."""
    known = getattr(nabi.errors, outcome["type"], None)
    kind = known if isinstance(known, type) and issubclass(known, NabiError) else NabiError
    return kind(outcome["what"], where=outcome["where"], fix=outcome["fix"])


def _died(code: int, tail: deque[str], *, for_memory: bool) -> NabiError:
    last_words = "\n".join(tail) or "it wrote nothing"
    if code == -signal.SIGKILL and for_memory:
        free = psutil.virtual_memory().available / 2**30
        return OutOfMemory(
            f"the system killed the training process because memory ran out ({free:.1f} GiB free now)",
            fix="Use the low-memory preset or a smaller batch_size, or close other programs.",
        )
    if code < 0:
        return TransientError(
            f"the training process was ended by {signal.Signals(-code).name}; its last lines:\n{last_words}",
            fix="Start it again.",
        )
    return NabiError(f"the training process failed (exit {code}); its last lines:\n{last_words}")


def _oom_kills() -> int | None:
    """How many processes the kernel has killed for want of memory so far; None where it does not tell."""
    counts = [
        int(line.split()[1])
        for file in _OOM_COUNTERS
        if file.is_file()
        for line in file.read_text().splitlines()
        if line.startswith("oom_kill ")
    ]
    return sum(counts) if counts else None


def main(job_file: Path) -> int:
    """The child: train the jobs in `job_file`, speak JSON lines on the real stdout, and return the exit status."""
    # Libraries print to stdout; only our lines may reach the parent, so everything else goes to stderr.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    _end_with_parent()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)

    def tell(kind: str, job: int, **fields: Any) -> None:
        channel.write(json.dumps({"kind": kind, "job": job, **fields}, ensure_ascii=False) + "\n")

    def end(job: int, outcome: TrainingResult | NabiError) -> None:
        if isinstance(outcome, NabiError):
            tell("error", job, type=type(outcome).__name__, what=outcome.what, where=outcome.where, fix=outcome.fix)
        else:
            tell("result", job, result=outcome.model_dump(mode="json"))

    order = _Order.model_validate_json(job_file.read_bytes())
    # A GPU too small for a base falls back to 4 bits by itself.
    if pick_device() == "cpu" and not any(job.recipe.four_bit for job in order.jobs):
        leave_out_bitsandbytes()
    train_adapters(
        order.jobs,
        lambda job, share, message: tell("progress", job, share=share, message=message),
        end,
        at_once=order.at_once,
    )
    return 0


def _end_with_parent() -> None:
    """Exit as soon as stdin closes. A thread can do it while torch computes, since torch lets go of the lock."""

    def watch() -> None:
        while os.read(0, 1024):
            continue
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
