"""A training in a process of its own: its memory goes back whole, and its death cannot take the caller along.

`train_in_own_process` starts `python -m nabi.training.worker JOBFILE`. The child writes one JSON object a line to
stdout (progress, then a result or an error) and everything else to stderr. It ends by itself when its stdin closes,
which happens when the parent dies, however it dies.
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
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil

import nabi.errors
from nabi.errors import NabiError, OutOfMemory, TransientError
from nabi.training.progress import Progress
from nabi.training.train import TrainingJob, TrainingResult, train_adapter

logger = logging.getLogger(__name__)

_STDERR_LINES = 40
_GRACE_SECONDS = 5.0
# The machine's count and this container's.
_OOM_COUNTERS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))


def training_environment(threads: int | None) -> dict[str, str]:
    """Variables that must be set before a process that trains starts; they are read once, when torch is imported.

    Spinning OpenMP threads on busy cores fell to an eighth of one thread's speed. One malloc arena keeps memory from
    growing with varying batch shapes. Setting glibc's trim threshold alone would also freeze its mmap threshold at
    128 kB: every large tensor then came as fresh, zeroed pages and a step took three times as long, so both are set.
    The hash seed settles the order of sets.
    """
    variables = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "100000000",
        "MALLOC_MMAP_THRESHOLD_": "33554432",
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
    return variables if threads is None else variables | {"OMP_NUM_THREADS": str(threads)}


def train_in_own_process(job: TrainingJob, on_progress: Progress) -> TrainingResult:
    """`train_adapter` in a child process; an error of nabi's comes back as the class that the child raised.

    Where memory runs out, a new child goes on from the newest checkpoint with half as many samples at once, down to
    one. A step still sees as many samples as the recipe says, in twice as many parts, and weighs each token alike.

    Raises:
        OutOfMemory: one sample at a time does not fit the memory either.
        TransientError: a signal ended the child.
        NabiError: what the child raised, or that it died for a reason it could not tell.
    """
    rows = job.rows or job.recipe.batch_size
    while True:
        try:
            return _train_once(job.model_copy(update={"rows": rows}), on_progress)
        except OutOfMemory as error:
            if rows == 1:
                raise
            halved = rows // 2
            logger.warning("%s; going on with %d of a step's %d", error.what, halved, job.recipe.samples_a_step)
            rows = halved


def _train_once(job: TrainingJob, on_progress: Progress) -> TrainingResult:
    with tempfile.TemporaryDirectory(prefix="nabi-job-") as folder:
        job_file = Path(folder) / "job.json"
        job_file.write_text(job.model_dump_json(), encoding="utf-8")
        return _run_child([sys.executable, "-m", "nabi.training.worker", str(job_file)], job, on_progress)


def _run_child(command: list[str], job: TrainingJob, on_progress: Progress) -> TrainingResult:
    environment = os.environ | training_environment(job.threads)
    kills_before = _oom_kills()
    with _child(command, environment) as child:
        tail: deque[str] = deque(maxlen=_STDERR_LINES)
        reader = threading.Thread(target=_drain, args=(child.stderr, tail), daemon=True)
        reader.start()
        outcome = _follow(child.stdout, on_progress)
        code = child.wait()
        reader.join(_GRACE_SECONDS)
    if outcome is not None and outcome["kind"] == "result":
        return TrainingResult.model_validate(outcome["result"])
    if outcome is not None:
        raise _raised(outcome)
    raise _died(code, tail, for_memory=kills_before is None or _oom_kills() != kills_before)


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


def _follow(stream: IO[str] | None, on_progress: Progress) -> dict[str, Any] | None:
    """Pass the progress on; the last line that is a result or an error, None when there was none."""
    outcome: dict[str, Any] | None = None
    for line in stream or ():
        message = json.loads(line)
        if message["kind"] == "progress":
            on_progress(message["share"], message["message"])
        else:
            outcome = message
    return outcome


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
    """The child: train the job in `job_file`, speak JSON lines on the real stdout, and return the exit status."""
    # Libraries print to stdout; only our lines may reach the parent, so everything else goes to stderr.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    _end_with_parent()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)

    def tell(kind: str, **fields: Any) -> None:
        channel.write(json.dumps({"kind": kind, **fields}, ensure_ascii=False) + "\n")

    try:
        job = TrainingJob.model_validate_json(job_file.read_bytes())
        result = train_adapter(job, lambda share, message: tell("progress", share=share, message=message))
    except NabiError as error:
        tell("error", type=type(error).__name__, what=error.what, where=error.where, fix=error.fix)
        return 1
    tell("result", result=result.model_dump(mode="json"))
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
