from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from nabi.errors import DataError, NabiError, OutOfMemory, TransientError
from nabi.training.worker import _run_child, train_in_own_process, training_environment


def test_a_child_trains_the_same_adapter_as_this_process(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path: Path
) -> None:
    _, here = trained_adapter
    told: list[tuple[float, str]] = []
    there = train_in_own_process(make_job(tmp_path), lambda share, message: told.append((share, message)))
    assert there.digest == here.digest
    assert there.losses == here.losses
    assert told[-1][0] == 1.0
    assert any(message.startswith("step 4/4") for _, message in told)


def test_an_error_of_the_child_comes_back_as_its_class_and_words(make_job: Callable[..., Any], tmp_path: Path) -> None:
    job = make_job(tmp_path, num_samples=0)
    with pytest.raises(DataError) as caught:
        train_in_own_process(job, lambda _share, _message: None)
    assert caught.value.where == str(job.train_file)
    assert "no samples to train on" in caught.value.what


def _script(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_killed_by_the_system_counts_as_out_of_memory(make_job: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="memory ran out"):
        _run_child(_script("import os; os.kill(os.getpid(), 9)"), make_job(tmp_path), lambda _s, _m: None)


def test_a_child_ended_by_another_signal_is_worth_another_try(make_job: Callable[..., Any], tmp_path: Path) -> None:
    code = "import os, sys; print('last words', file=sys.stderr, flush=True); os.kill(os.getpid(), 15)"
    with pytest.raises(TransientError, match=r"SIGTERM.*\n.*last words"):
        _run_child(_script(code), make_job(tmp_path), lambda _s, _m: None)


def test_a_crash_shows_the_last_lines_of_the_child(make_job: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(NabiError, match="ZeroDivisionError") as caught:
        _run_child(_script("1/0"), make_job(tmp_path), lambda _s, _m: None)
    assert type(caught.value) is NabiError


def test_a_child_may_write_more_to_stderr_than_a_pipe_holds(make_job: Callable[..., Any], tmp_path: Path) -> None:
    code = (
        "import sys; sys.stderr.write('x' * 79 + '\\n' * 1); [sys.stderr.write('y' * 79 + '\\n') for _ in range(5000)]"
    )
    with pytest.raises(NabiError, match="exit 0"):
        _run_child(_script(code), make_job(tmp_path), lambda _s, _m: None)


def test_the_child_is_gone_when_the_caller_is_interrupted(make_job: Callable[..., Any], tmp_path: Path) -> None:
    def interrupt(_share: float, _message: str) -> None:
        raise KeyboardInterrupt

    children = set(psutil.Process().children())
    with pytest.raises(KeyboardInterrupt):
        train_in_own_process(make_job(tmp_path), interrupt)
    assert set(psutil.Process().children()) <= children


PARENT = """
import sys
from pathlib import Path
from nabi.training.train import TrainingJob
from nabi.training.worker import train_in_own_process
job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_bytes())
train_in_own_process(job, lambda share, message: print(message, flush=True))
"""


def test_the_child_ends_when_its_parent_is_killed(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """The parent is killed with signal 9 in the midst of a long training; nobody tells the child."""
    job_file = tmp_path / "job.json"
    job_file.write_text(make_job(tmp_path, recipe={"epochs": 100, "batch_size": 1}).model_dump_json())
    parent = subprocess.Popen(
        [*_script(PARENT), str(job_file)],
        stdout=subprocess.PIPE,
        env=os.environ | training_environment(1),
        encoding="utf-8",
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    (child,) = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    parent.stdout.close()


def test_the_environment_sets_what_is_read_only_once() -> None:
    variables = training_environment(2)
    assert variables["OMP_WAIT_POLICY"] == "PASSIVE"
    assert variables["OMP_NUM_THREADS"] == "2"
    assert variables["MALLOC_ARENA_MAX"] == "1"
    assert "OMP_NUM_THREADS" not in training_environment(None)
