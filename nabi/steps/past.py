"""What a window has behind it: the champion that it is compared with, and what was learned before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nabi.registry.journal import LIVE, REPLAY
from nabi.steps.window import Window
from nabi.wiring import Platform


@dataclass(frozen=True)
class Past:
    """What stands when a window begins.

    Args:
        champion: the adapter version to beat; None while the bare base answers.
        learned_by: conversation (catalogue dialogues included) → the first champion that used it.
    """

    champion: str | None
    learned_by: Mapping[str, str]


def past_of(platform: Platform, window: Window) -> Past:
    """What is live now; in a replay what stood at the window's time: the replay's own winners until then.

    A winner that was barred since takes no part in a replay: it must not be compared with, nor learned on from.
    """
    if not window.replayed:
        live = platform.ledger.live(window.persona_id)
        return Past(live.champion if live else None, platform.store.learned_by(window.persona_id))
    champion: str | None = None
    learned_by: dict[str, str] = {}
    for winner in platform.journal.winners_before(window.persona_id, window.as_of, window.line):
        name, version = winner.adapter_version, winner.dataset_version
        if name is None or version is None or platform.rollouts.why_barred(name) is not None:
            continue
        champion = name
        for row in platform.journal.rows_of(version, window.persona_id):
            if row.part != "anchor":
                learned_by.setdefault(row.conversation_id, name)
    return Past(champion, learned_by)


def dataset_of_past(platform: Platform, window: Window) -> str | None:
    """The dataset version that a replay's window goes on from: the replay's own last one, else the live line's of then.

    It brings the anchors, which are frozen once and for all.
    """
    journal = platform.journal
    played = journal.dataset_before(window.persona_id, window.as_of, REPLAY)
    return played or journal.dataset_before(window.persona_id, window.as_of, LIVE)
