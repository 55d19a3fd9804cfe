"""What a run leaves behind that nobody takes up again: windows that are told as under way for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from nabi.control.runs import Run
from nabi.registry.journal import LIVE, REPLAY
from tasks.runs import BrokeOff, RunBook

LOOK_BACK = timedelta(days=1)
"""How far the first look goes back: while no control loop ran, somebody may have cancelled a run."""


class BrokenOff:
    """Ends the windows of runs that somebody cancelled or deleted, and of a command's run whose process was killed.

    They are free to be run again.
    """

    def __init__(self, book: RunBook) -> None:
        self._book = book
        self._before: dict[str, Run] | None = None
        self._left: list[tuple[Run, BrokeOff]] = []

    def end(self, runs: Sequence[Run]) -> None:
        """Ends what is to be ended now; called after each look.

        Args:
            runs: all that have not ended.
        """
        teaching = {run.id: run for run in runs if run.kind == "learn"}
        if self._before is None:
            since = datetime.now(UTC) - LOOK_BACK
            self._left = [(run, "cancelled") for run in self._book.cancelled(since)]
        else:
            vanished = (run for run in self._before.values() if run.id not in teaching)
            self._left += [(run, how) for run in vanished if (how := self._book.broke_off(run.id))]
        self._before = teaching
        if not self._left:
            return
        # A process may need a few seconds to end. What another run serves too is that one's to end.
        at_work = {working.run_id for working in self._book.working()}
        served = {(persona_id, run.until, run.replay) for run in teaching.values() for persona_id in run.personas}
        for run, how in self._left:
            if run.id not in at_work:
                whom = [name for name in sorted(run.personas) if (name, run.until, run.replay) not in served]
                self._end(run, how, whom)
        self._left = [(run, how) for run, how in self._left if run.id in at_work]

    def _end(self, run: Run, how: BrokeOff, persona_ids: Sequence[str]) -> None:
        at = f" at {run.step}" if run.step else ""
        sentences: dict[BrokeOff, str] = {
            "cancelled": f"cancelled{at}",
            "failed": f"failed: its process was killed{at}. It was started by hand: start it again",
        }
        line, figures = REPLAY if run.replay else LIVE, {"run": run.id}
        for persona_id in persona_ids:
            self._book.end_window(persona_id, run.until, line, how, sentence=sentences[how], figures=figures)
