"""What may wait at all: the newest of a schedule's late runs, and fifty altogether (requirement A6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from nabi.control.actions import QUEUE_FULL, SUPERSEDED, Cancel
from nabi.control.runs import Run, Situation


def superseded(runs: Iterable[Run], situation: Situation) -> list[Cancel]:
    """Late runs of a schedule that a newer one replaces, as after a night without power.

    A run serves everything that was said before its window's end, so the newest serves what the older ones would have.
    """
    late: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.state == "scheduled" and run.replaceable and not run.started and run.due <= situation.now:
            late.setdefault((run.kind, run.whom), []).append(run)
    cancelled = []
    for group in late.values():
        newest = max(group, key=lambda run: run.due)
        cancelled += [
            Cancel(
                run.id,
                SUPERSEDED,
                f"not begun when {newest.title} fell due, which serves this window too; nothing is lost",
            )
            for run in group
            if run.id != newest.id
        ]
    return cancelled


def waiting(runs: Iterable[Run], situation: Situation) -> list[Run]:
    """Every run that waits: due, held, or asked for by somebody for later; not the schedule's future."""
    return [run for run in runs if run.state == "scheduled" and (not run.by_schedule or run.due <= situation.now)]


def too_many(runs: Sequence[Run], situation: Situation) -> list[Cancel]:
    """The runs beyond the limit, the newest first to go; never what has begun, nor what deletes."""
    line = sorted(waiting(runs, situation), key=_asked_at)
    surplus = len(line) - situation.max_waiting
    if surplus <= 0:
        return []
    kept, refused = line[:-surplus], line[-surplus:]
    sentence = full(kept, situation)
    return [Cancel(run.id, QUEUE_FULL, sentence) for run in refused if not run.started and run.kind != "upkeep"]


def full(line: Sequence[Run], situation: Situation) -> str:
    """Why one more is refused, and what waits."""
    return (
        f"{len(line)} runs wait already, the limit is {situation.max_waiting}: {what_waits(line)}. "
        "Ask again when fewer wait, or cancel some of them."
    )


def what_waits(line: Iterable[Run]) -> str:
    """The waiting runs in a few words, e.g. "48 nabiyam (low), 2 every persona (normal)"."""
    counts = Counter(f"{run.whom if run.kind == 'learn' else run.kind} ({run.queue})" for run in line)
    return ", ".join(f"{num} {what}" for what, num in counts.most_common()) or "nothing"


def _asked_at(run: Run) -> tuple[bool, datetime, str]:
    # A schedule's runs are made weeks ahead: they join the line when they fall due.
    return not run.started, run.due if run.by_schedule else run.created, run.id
