"""Which adapter versions a persona needs no longer (requirement A5). Decides by what it is told; touches nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nabi.personas.model import Retention

TAINTED = "it learned from words that were deleted since"


@dataclass(frozen=True)
class Kept:
    """A version whose files are there.

    Args:
        replayed: trained in a replay of the past.
        start: the version whose weights it went on from; None where it began with a fresh adapter.
        undecided: nothing was decided about its window yet.
    """

    name: str
    replayed: bool = False
    start: str | None = None
    undecided: bool = False


@dataclass(frozen=True)
class Story:
    """What became of a persona's versions.

    Args:
        in_force: live, what a rollback puts back, on trial.
        live: all that were ever live, in the order in which they last were.
        won: the replay's winners, in the order of their windows.
        tainted: those that learned from words that were deleted since.
    """

    in_force: Collection[str]
    live: Sequence[str] = ()
    won: Sequence[str] = ()
    tainted: Collection[str] = ()


def superfluous(versions: Sequence[Kept], story: Story, retention: Retention) -> dict[str, str]:
    """The versions that can go, each with its reason.

    What is in force or undecided stays in any case. Of the rest, what learned from deleted words goes at once. Else the
    newest stay, those that were live last stay, and what a version that stays went on from: without it, that one could
    not be trained again from its record.

    Args:
        versions: oldest first.
    """
    names = [version.name for version in versions]
    lines = ([v.name for v in versions if not v.replayed], [v.name for v in versions if v.replayed])
    wanted = {name for line in lines for name in line[-retention.newest :]}
    for line in (story.live, story.won):
        wanted.update(_newest([name for name in line if name in names], retention.once_live))
    needed = {*story.in_force, *(version.name for version in versions if version.undecided)}
    stay = needed | (wanted - set(story.tainted))
    started = {version.start for version in versions if version.name in stay} - set(story.tainted)
    why = f"neither one of the newest {retention.newest} nor of the {retention.once_live} that were live last"
    return {
        name: TAINTED if name in story.tainted else why for name in names if name not in stay and name not in started
    }


def _newest(names: Sequence[str], num: int) -> Sequence[str]:
    return names[-num:] if num else ()
