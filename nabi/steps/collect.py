"""Collect and curate: what was said before the window's end, and which of it may be learned from."""

from __future__ import annotations

from collections import Counter

from nabi.conversations.records import Conversation
from nabi.curation.chain import Curated, curate, recheck
from nabi.steps.guard import uses_words
from nabi.steps.past import past_of
from nabi.steps.voices import style_model
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
    """The window's new and already learned conversations after curation; the same answer each time it is asked."""
    persona = platform.persona(window.persona_id)
    new, learned = _logs(platform, window)
    released = platform.store.released(window.persona_id)
    held = recheck(learned, persona, released)
    style = style_model(platform, window, held.kept)
    return curate(new, persona, released, learned=held.kept, style=style), held


def _logs(platform: Platform, window: Window) -> tuple[list[Conversation], list[Conversation]]:
    """What was said before the window's end: what no champion learned from yet, and the rest."""
    known = past_of(platform, window).learned_by
    new: list[Conversation] = []
    learned: list[Conversation] = []
    for conversation in platform.store.stream_before(window.persona_id, window.as_of):
        (learned if conversation.conversation_id in known else new).append(conversation)
    return new, learned
