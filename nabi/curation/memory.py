"""What the filters must know of everything that went before: fingerprints and counts of fixed size, never a text.

It is made anew for each curation out of the conversations that datasets already hold, and kept nowhere: so it forgets
whom the store forgets, and the same store gives the same verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence

from nabi.conversations.records import Conversation
from nabi.curation.duplicates import SeenTexts
from nabi.curation.poison import History
from nabi.curation.released import Released, is_overruled
from nabi.curation.shares import Shares
from nabi.curation.verdict import Refused
from nabi.personas.model import Persona


class Memory:
    """One persona's. Catalogue dialogues are templates and leave no trace in it."""

    def __init__(self, persona: Persona) -> None:
        rules = persona.curation
        self._parts = (
            SeenTexts(rules.near_duplicate, rules.near_duplicate_memory),
            History(rules),
            Shares(persona),
        )

    def judge(self, conversations: Sequence[Conversation], released: Released) -> dict[int, Refused]:
        """What is refused for what went before it, by place: duplicates, then what looks planted, then floods.

        Each judges what the one before it kept, and remembers what it keeps itself. A reason that is released for a
        conversation does not refuse it.
        """
        refused: dict[int, Refused] = {}
        rows = [row for row, item in enumerate(conversations) if item.source != "bootstrap"]
        for part in self._parts:
            verdicts = part.judge([conversations[row] for row in rows])
            for place, verdict in verdicts.items():
                if not is_overruled(verdict, conversations[rows[place]], released):
                    refused[rows[place]] = verdict
            rows = [row for row in rows if row not in refused]
        return refused

    def remember(self, conversations: Sequence[Conversation]) -> None:
        """Takes note of what datasets already hold."""
        logged = [conversation for conversation in conversations if conversation.source != "bootstrap"]
        for part in self._parts:
            part.remember(logged)
