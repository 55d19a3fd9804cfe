"""What the steps of one pass hand to each other: small references, never the conversations themselves.

Step results are kept by the orchestrator so that a killed run can go on. A person's words must not lie there,
out of reach of a deletion; so these records carry counts, versions and paths.
"""

from __future__ import annotations

from pathlib import Path

from nabi.conversations.records import Frozen, Moment
from nabi.evaluation.opinion import Opinion
from nabi.registry.journal import LIVE, REPLAY, Line


class Window(Frozen):
    """One persona's six hours that end at `as_of`."""

    persona_id: str
    as_of: Moment
    line: Line = LIVE

    @property
    def replayed(self) -> bool:
        """Whether the past is played again beside what really happened, so that nothing of it may go live."""
        return self.line == REPLAY

    @property
    def pass_id(self) -> str:
        """Identifies the pass everywhere: journal, MLflow, Prefect."""
        return f"{self.persona_id}@{self.as_of:%Y-%m-%dT%H:%MZ}{' replay' if self.replayed else ''}"


class Collected(Frozen):
    """What the store holds for this window."""

    window: Window
    num_new: int
    num_learned: int


class Kept(Frozen):
    """What curation left, and why the rest was set apart (reason → count)."""

    window: Window
    num_new: int
    num_learned: int
    refused: dict[str, int]


class Filled(Frozen):
    """The training material after the catalogue filled up what the logs lack."""

    window: Window
    num_new_logs: int
    num_learned_logs: int
    num_bootstrap: int
    num_new_bootstrap: int

    @property
    def num_new(self) -> int:
        """Samples that the live adapter has not learned from."""
        return self.num_new_logs + self.num_new_bootstrap


class Snapshot(Frozen):
    """A dataset version, ready for training."""

    window: Window
    run_id: str
    version: str
    digest: str
    num_train: int
    num_holdout: int
    num_anchors: int
    num_new: int


class Candidate(Frozen):
    """A trained adapter that waits for the gate."""

    window: Window
    snapshot: Snapshot
    adapter: str
    digest: str
    train_loss: float
    holdout_loss: float | None
    seconds: float


class Scored(Frozen):
    """Candidate and its opponent, scored on the same prompts; the scores themselves lie in a file.

    Attributes:
        opinion: what a judge thinks of the two, where the persona has one.
    """

    candidate: Candidate
    opponent: str
    champion: str | None
    scores: Path
    opinion: Opinion | None = None


class Judged(Frozen):
    """The gate's verdict on a candidate.

    Attributes:
        champion: what was live when it was judged.
        awaits: what is missing before it can be deployed or kept, in words; None when nothing is.
    """

    candidate: Candidate
    champion: str | None
    deploy: bool
    sentence: str
    gain: float | None
    champion_quality: float | None
    candidate_quality: float | None
    awaits: str | None = None


class Ending(Frozen):
    """How a pass ended, in one sentence a person can read."""

    window: Window
    state: str
    sentence: str
