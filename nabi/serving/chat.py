"""One turn of a persona: the prompt that it was trained on, and the engine's answer."""

from __future__ import annotations

from collections.abc import Sequence

from nabi.conversations.records import Fact, Message
from nabi.datasets.samples import chat_messages
from nabi.personas.model import Persona
from nabi.serving.engine import Engine, Generation


def answer(  # noqa: PLR0917 -- the order in which a turn comes about
    engine: Engine,
    persona: Persona,
    question: str,
    history: Sequence[Message],
    facts: Sequence[Fact],
    adapter: str | None,
    *,
    max_new_tokens: int = 96,
) -> Generation:
    """Answer a question as a persona.

    Args:
        engine: holds the base and the adapter.
        persona: whose prompt is used, with facts or without.
        question: what the user says now.
        history: the turns before it, oldest first.
        facts: what was retrieved for this question; empty tells the persona that nothing was found.
        adapter: a loaded name; None for the bare base.
        max_new_tokens: where the answer is cut.
    """
    turns = [*history, Message(role="user", content=question)]
    prompt = chat_messages(persona.system_prompt, turns, facts if persona.uses_facts else None)
    return engine.generate([prompt], adapter, max_new_tokens=max_new_tokens)[0]
