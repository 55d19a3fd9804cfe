"""What becomes of runs whose process is gone: they go on, and after three deaths at one step they stop."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from nabi.control.actions import Cancel, DeclareCrashed, GiveUp, HandBack, Release, Resume, Revive
from nabi.control.runs import Run, Situation

MAX_CRASHES = 3
"""At the same step. A step that kills its process every time would do so for ever."""

SETTLING = timedelta(seconds=8)
"""A process worker reports a crash twice, the second time up to three seconds after the first; a run that was put
back between the two would be marked as crashed while it waits."""

NOT_BEGUN = timedelta(seconds=8)
"""How long a worker may take from taking a run to having its process begun: 0.1 s when idle. Should it take longer, and
the run be taken a second time, the process that comes later has its leases, and the other one stops."""

NEVER_CAME = timedelta(seconds=45)
"""How long a run that nobody can look at may be taken without a first sign of life; it takes 3 to 8 s when idle."""


Recovery = Cancel | DeclareCrashed | Release | Revive | Resume | HandBack | GiveUp


def recover(runs: Iterable[Run], situation: Situation) -> list[Recovery]:
    """One action at most for each run that no process works for any more."""
    return [action for run in runs if (action := _recover(run, situation)) is not None]


def _recover(run: Run, situation: Situation) -> Recovery | None:
    age = abs(situation.now - run.since)  # either way: the clock may have been set back
    if run.state in ("running", "pending", "cancelling") and _is_gone(run, age):
        if run.state == "cancelling":
            return Cancel(run.id, "Cancelled", "cancelled; its process had ended before")
        if run.state == "pending" and run.deployed:
            # A worker that ended between taking it and starting its process: nothing of the run died.
            return Release(run.id, situation.now, "the worker that took it is gone; it waits for one again")
        what = "its process is gone" if run.alive is False else f"no sign of life for {age.total_seconds():.0f} s"
        after = "" if run.deployed else ". It was started by hand: start it again"
        return DeclareCrashed(run.id, f"{what}{_at(run.step)}{after}")
    if run.state == "crashed" and run.deployed and age >= SETTLING:
        if run.alive is not True:
            return _after_crash(run)
        # Before its first step a process is about to say by itself that the run works.
        return Revive(run.id, "the process that was reported dead had been replaced before") if run.step else None
    return None


def _is_gone(run: Run, age: timedelta) -> bool:
    if run.alive is None:
        return age >= NEVER_CAME
    # A run changes its state a moment before or after its process does.
    return not run.alive and age >= (NOT_BEGUN if run.state == "pending" else timedelta(seconds=2))


def _after_crash(run: Run) -> Resume | HandBack | GiveUp:
    if run.stopped:
        return HandBack(run.id, f"the platform was stopped{_at(run.step)}; goes on from there")
    step = run.step or "start"
    num = run.crashes.count(step) + 1
    if num < MAX_CRASHES:
        return Resume(
            run.id, run.since, step, f"killed{_at(step)}; goes on from there (crash {num} of at most {MAX_CRASHES})"
        )
    return GiveUp(
        run.id,
        run.since,
        step,
        run.personas if run.kind == "learn" else frozenset(),  # other runs have no windows that could fail
        run.until,
        f"stopped: its process died {num} times{_at(step)}. Look at the last lines of this run's log and at the "
        "machine's memory (dmesg tells when the system killed a process), then run the window again",
        run.replay,
    )


def _at(step: str) -> str:
    return f" at {step}" if step else ""
