from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from marked_answers import bad_answers
from waiting import wait_until

from nabi.errors import DataError, ModelError, NabiError, OutOfMemory, TransientError
from nabi.training import worker
from nabi.training.worker import _run_child, train_in_own_process, train_together, training_environment


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


def _outcome(code: str, job: Any) -> Any:
    """What a child that runs this code instead of a training makes of its one job."""
    (outcome,) = _run_child(_script(code), [job], lambda _job, _share, _message: None).values()
    return outcome


KILLED = "import os; os.kill(os.getpid(), 9)"


def test_a_child_killed_by_hand_is_worth_another_try(make_job: Callable[..., Any], tmp_path: Path) -> None:
    if worker._oom_kills() is None:
        pytest.skip("this kernel does not count its kills for memory")
    outcome = _outcome(KILLED, make_job(tmp_path))
    assert type(outcome) is TransientError
    assert "SIGKILL" in str(outcome)


def test_a_child_killed_by_the_system_counts_as_out_of_memory(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's counter rises beside the kill: the file stands for /proc/vmstat."""
    counter = tmp_path / "vmstat"
    counter.write_text("pgfault 9\noom_kill 3\n")
    monkeypatch.setattr(worker, "_OOM_COUNTERS", (counter,))
    code = f"open({str(counter)!r}, 'w').write('pgfault 9\\noom_kill 4\\n'); {KILLED}"
    outcome = _outcome(code, make_job(tmp_path))
    assert type(outcome) is OutOfMemory
    assert re.search(r"memory ran out \(.* GiB free", str(outcome))


def test_where_the_kernel_does_not_count_a_kill_is_taken_for_a_lack_of_memory(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_OOM_COUNTERS", ())
    assert type(_outcome(KILLED, make_job(tmp_path))) is OutOfMemory


def _training_child() -> psutil.Process:
    """The child that trains; other tests of this process may have left children of another kind."""
    (child,) = (child for child in psutil.Process().children() if worker.__name__ in child.cmdline())
    return child


def _lengthen(file: Path) -> None:
    """Each question made some 400 tokens long."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        row["messages"][0]["content"] = "가나다라마바사" * 18
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("long", ["samples", "bad answers"])
def test_a_lack_of_memory_halves_what_is_computed_at_once_and_changes_nothing_else(
    make_job: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    long: str,
) -> None:
    """The kernel refuses the child memory beyond what eight rows at once need; sixteen are asked for."""
    # Threads that meet in malloc each reserve 64 MiB of addresses, more of them on a busy machine: that is no need.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    jobs = []
    for name in ("eight", "sixteen"):
        (tmp_path / name).mkdir()
        marked = tmp_path / name / "preferences.jsonl"
        marked.write_text("".join(answer.model_dump_json() + "\n" for answer in bad_answers(16)))
        preferences = {"preferences_file": marked} if long == "bad answers" else {}
        job = make_job(tmp_path / name, num_samples=16, recipe={"batch_size": 16, "epochs": 2}, **preferences)
        _lengthen(job.preferences_file or job.train_file)
        jobs.append(job)
    peaks: list[int] = []

    def measure(_share: float, message: str) -> None:
        # At each step and when it is saved: the child goes on while this reads, and the second step may need more.
        if message.startswith(("step", "adapter saved")):
            child = _training_child()
            status = Path(f"/proc/{child.pid}/status").read_text()
            peaks.append(int(status.split("VmPeak:")[1].split()[0]) * 1024)

    def restrict(_share: float, message: str) -> None:
        if "loading" in message:
            child = _training_child()
            resource.prlimit(child.pid, resource.RLIMIT_AS, (max(peaks) + 2**25, max(peaks) + 2**25))

    eight = train_in_own_process(jobs[0].model_copy(update={"rows": 8}), measure)
    sixteen = train_in_own_process(jobs[1], restrict)
    assert (sixteen.rows, sixteen.num_steps, sixteen.digest) == (8, 2, eight.digest)
    assert sixteen.preference_losses == eight.preference_losses
    assert sixteen.num_bad == (16 if long == "bad answers" else 0)
    assert re.search(r"16 samples at once do not fit the memory \(.*\); going on with 8 of a step's 16", caplog.text)


def test_one_sample_that_does_not_fit_is_an_error_with_a_remedy(
    make_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def no_room(_command: list[str], jobs: Any, _on_progress: Any) -> Any:
        tried.append(jobs[0].rows)
        return {0: OutOfMemory(f"{jobs[0].rows} do not fit", fix="Use 4 bits.")}

    monkeypatch.setattr(worker, "_run_child", no_room)
    with pytest.raises(OutOfMemory, match="1 do not fit Use 4 bits"):
        train_in_own_process(make_job(tmp_path, recipe={"batch_size": 5}), lambda _s, _m: None)
    assert tried == [5, 2, 1]


def test_a_child_ended_by_another_signal_is_worth_another_try(make_job: Callable[..., Any], tmp_path: Path) -> None:
    code = "import os, sys; print('last words', file=sys.stderr, flush=True); os.kill(os.getpid(), 15)"
    outcome = _outcome(code, make_job(tmp_path))
    assert type(outcome) is TransientError
    assert re.search(r"SIGTERM.*\n.*last words", str(outcome))


def test_a_crash_shows_the_last_lines_of_the_child(make_job: Callable[..., Any], tmp_path: Path) -> None:
    outcome = _outcome("1/0", make_job(tmp_path))
    assert type(outcome) is NabiError
    assert "ZeroDivisionError" in str(outcome)


def test_a_child_may_write_more_to_stderr_than_a_pipe_holds(make_job: Callable[..., Any], tmp_path: Path) -> None:
    code = (
        "import sys; sys.stderr.write('x' * 79 + '\\n' * 1); [sys.stderr.write('y' * 79 + '\\n') for _ in range(5000)]"
    )
    assert "exit 0" in str(_outcome(code, make_job(tmp_path)))


def test_the_child_is_gone_when_the_caller_is_interrupted(make_job: Callable[..., Any], tmp_path: Path) -> None:
    def interrupt(_share: float, _message: str) -> None:
        raise KeyboardInterrupt

    children = set(psutil.Process().children())
    with pytest.raises(KeyboardInterrupt):
        train_in_own_process(make_job(tmp_path), interrupt)
    assert set(psutil.Process().children()) <= children


def test_many_personas_share_a_process_and_each_fails_alone(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path: Path
) -> None:
    """The second has no samples, the third asks for modules that the base lacks; the others come out as if alone."""
    changes: list[dict[str, Any]] = [{}, {"num_samples": 0}, {"recipe": {"target_modules": ("c_attn",)}}, {}]
    jobs = []
    for number, change in enumerate(changes):
        (tmp_path / str(number)).mkdir()
        jobs.append(make_job(tmp_path / str(number), persona_id=f"persona-{number}", **change))
    told: list[tuple[int, str]] = []
    first, empty, odd, last = train_together(jobs, lambda job, _share, message: told.append((job, message)))
    assert first.digest == last.digest == trained_adapter[1].digest
    assert first.losses == last.losses == trained_adapter[1].losses
    assert isinstance(empty, DataError)
    assert isinstance(odd, ModelError)
    assert {job for job, message in told if message.startswith("step 4/4")} == {0, 3}
    assert [path.name for number in (1, 2) for path in (tmp_path / str(number)).glob("*adapter*")] == []


def test_a_child_that_dies_takes_only_the_job_at_hand(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path: Path
) -> None:
    jobs = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        jobs.append(make_job(tmp_path / str(number)))
    children: list[int] = []

    def kill_the_second(job: int, _share: float, message: str) -> None:
        child = _training_child()
        children.append(child.pid)
        if job == 1 and message.startswith("step 1/"):
            child.terminate()

    first, second, third = train_together(jobs, kill_the_second)
    assert isinstance(second, TransientError)
    assert first.digest == third.digest == trained_adapter[1].digest
    assert len(set(children)) == 2


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
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    parent.stdout.close()


def test_the_environment_sets_what_is_read_only_once() -> None:
    variables = training_environment(2)
    assert variables["OMP_NUM_THREADS"] == "2"
    assert variables["MALLOC_ARENA_MAX"] == "1"
    assert "OMP_NUM_THREADS" not in training_environment(None)
