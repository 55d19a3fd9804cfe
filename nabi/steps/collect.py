"""Collect and curate: what was said before the window's end, and which of it may be learned from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from nabi.conversations.records import Conversation
from nabi.curation.chain import Curated, curate, recheck
from nabi.curation.released import Released
from nabi.personas.model import Persona
from nabi.steps.bootstrap import bootstrap_pool
from nabi.steps.guard import uses_words
from nabi.steps.past import past_of
from nabi.steps.voices import other_voices, style_model
from nabi.steps.window import Collected, Kept, Window
from nabi.wiring import Platform


def open_window(platform: Platform, window: Window) -> str | None:
    """Marks the window as begun; the sentence it ended with when it is already decided, else None."""
    standing = platform.journal.start(window.persona_id, window.as_of, window.line)
    return standing.sentence if standing else None


def collect(platform: Platform, window: Window) -> Collected:
    """Counts what the store holds before the window's end."""
    new, learned = _logs(platform, window)
    return Collected(window=window, num_new=len(new), num_learned=len(learned))


@uses_words
def keep_usable(platform: Platform, collected: Collected) -> Kept:
    """Sets apart, with the reason, what may not or should not be learned from."""
    window = collected.window
    new, learned = curated_logs(platform, window)
    refused = [*new.refused, *learned.refused]
    if not window.replayed:  # what people review and release is what keeps out of the live adapter
        platform.store.set_apart(window.as_of, refused)
    counts = Counter(refusal.reason for refusal in refused)
    return Kept(window=window, num_new=len(new.kept), num_learned=len(learned.kept), refused=dict(counts))


def curated_logs(platform: Platform, window: Window) -> tuple[Curated, Curated]:
    """The window's new and already learned conversations after curation.

    Everything that curation goes by is read anew, so that what was deleted or consented to since counts; only when
    nothing of it changed is the answer the one that this process had before.
    """
    persona = platform.persona(window.persona_id)
    new, learned = _logs(platform, window)
    return _curated(
        _Material(
            persona=persona,
            released=platform.store.released(window.persona_id),
            new=new,
            learned=learned,
            pool=bootstrap_pool(platform, persona),
            others=other_voices(platform, window),
        )
    )


@dataclass(frozen=True)
class _Material:
    """All that curation goes by: equal material is curated equally."""

    persona: Persona
    released: Released
    new: list[Conversation]
    learned: list[Conversation]
    pool: list[Conversation]
    others: dict[str, list[str]]

    def __hash__(self) -> int:
        return hash((self.persona.id, len(self.new), len(self.learned)))


@lru_cache(maxsize=1)  # the snapshot asks for what the filter asked for before
def _curated(material: _Material) -> tuple[Curated, Curated]:
    held = recheck(material.learned, material.persona, material.released)
    style = style_model(material.persona, chain(held.kept, material.pool), material.others)
    new = curate(material.new, material.persona, material.released, learned=held.kept, style=style)
    return new, held


def _logs(platform: Platform, window: Window) -> tuple[list[Conversation], list[Conversation]]:
    """What was said before the window's end: what no champion learned from yet, and the rest."""
    known = past_of(platform, window).learned_by
    new: list[Conversation] = []
    learned: list[Conversation] = []
    for conversation in platform.store.stream_before(window.persona_id, window.as_of):
        (learned if conversation.conversation_id in known else new).append(conversation)
    return new, learned
