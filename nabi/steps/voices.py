"""The personas' voices, learned from each one's own answers, so that curation can hear a foreign one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from nabi.conversations.records import Conversation
from nabi.curation.completeness import check_completeness
from nabi.curation.consent import check_consent
from nabi.curation.style_model import StyleModel, train_style_model
from nabi.curation.verdict import KEPT
from nabi.steps.bootstrap import bootstrap_pool
from nabi.steps.window import Window
from nabi.wiring import Platform

MAX_ANSWERS = 500
"""Of each persona: enough for a voice, and the same cost however long the logs grow."""


def style_model(platform: Platform, window: Window, learned: Iterable[Conversation]) -> StyleModel | None:
    """Tells this window's persona from the others; None while it or all others have too few answers to go by.

    Args:
        learned: what the persona's datasets hold; its catalogue dialogues are added.
    """
    persona = platform.persona(window.persona_id)
    least = persona.curation.style_min_samples
    answers = {name: _permitted(platform, name, window) for name in platform.personas() if name != persona.id}
    answers = {name: texts for name, texts in answers.items() if len(texts) >= least}
    if not answers:
        return None
    own = chain(learned, bootstrap_pool(platform, persona))
    return train_style_model(answers | {persona.id: list(islice(_answers(own), MAX_ANSWERS))}, least)


def _permitted(platform: Platform, persona_id: str, window: Window) -> list[str]:
    """Answers of another persona in what may be learned from."""
    conversations = platform.store.stream_before(persona_id, window.as_of)
    permitted = (item for item in conversations if check_consent(item) is KEPT and check_completeness(item) is KEPT)
    return list(islice(_answers(permitted), MAX_ANSWERS))


def _answers(conversations: Iterable[Conversation]) -> Iterator[str]:
    return (conversation.messages[-1].content for conversation in conversations)
