"""The personas' voices, learned from each one's own answers, so that curation can hear a foreign one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from nabi.conversations.records import Conversation
from nabi.curation.completeness import check_completeness
from nabi.curation.consent import check_consent
from nabi.curation.style_model import StyleModel, train_style_model
from nabi.curation.verdict import KEPT
from nabi.personas.model import Persona
from nabi.steps.window import Window
from nabi.wiring import Platform

MAX_ANSWERS = 500
"""Of each persona: enough for a voice, and the same cost however long the logs grow."""


def other_voices(platform: Platform, window: Window) -> dict[str, list[str]]:
    """Persona → answers of hers, of every other persona with enough of them to go by."""
    persona = platform.persona(window.persona_id)
    least = persona.curation.style_min_samples
    answers = {name: _permitted(platform, name, window) for name in platform.persona_ids() if name != persona.id}
    return {name: texts for name, texts in answers.items() if len(texts) >= least}


def style_model(persona: Persona, own: Iterable[Conversation], others: dict[str, list[str]]) -> StyleModel | None:
    """Tells the persona from the others; None while it or all others have too few answers to go by.

    Args:
        own: what the persona's datasets hold, its catalogue dialogues last.
    """
    if not others:
        return None
    answers = others | {persona.id: list(islice(_answers(own), MAX_ANSWERS))}
    return train_style_model(answers, persona.curation.style_min_samples)


def _permitted(platform: Platform, persona_id: str, window: Window) -> list[str]:
    """Answers of another persona in what may be learned from."""
    conversations = platform.store.stream_before(persona_id, window.as_of)
    permitted = (item for item in conversations if check_consent(item) is KEPT and check_completeness(item) is KEPT)
    return list(islice(_answers(permitted), MAX_ANSWERS))


def _answers(conversations: Iterable[Conversation]) -> Iterator[str]:
    return (conversation.messages[-1].content for conversation in conversations)
