"""A talk with a persona: each question gets its facts looked up, each answer names who gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from nabi.catalogue.lookup import find_facts
from nabi.catalogue.model import Catalogue
from nabi.conversations.records import Fact, Message
from nabi.personas.model import Persona
from nabi.serving.chat import answer
from nabi.serving.engine import Engine


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, the facts it was given, and the adapter version (with digest) that gave it; None for the base."""

    text: str
    facts: tuple[Fact, ...]
    adapter: str | None
    digest: str | None
    seconds: float


@dataclass(slots=True)
class Talk:
    """Several turns with one persona; what was said before is context for what comes.

    Args:
        catalogue: where facts are looked up; None for a persona without one.
        daily_limit: what the meal card pays a day, in won.
    """

    engine: Engine
    persona: Persona
    catalogue: Catalogue | None
    daily_limit: int = 0
    history: list[Message] = field(default_factory=list)

    def say(
        self,
        question: str,
        *,
        now: datetime,
        adapter: str | None,
        given: tuple[Fact, ...] | None = None,
        remember: bool = True,
    ) -> Said:
        """Asks the persona.

        Args:
            given: what was retrieved for this question; None looks it up in the catalogue.
            now: the moment of asking, with a zone; decides what is open.
            adapter: a loaded adapter version; None for the bare base.
            remember: keep question and answer as context for the next turn.
        """
        facts: tuple[Fact, ...] = given or ()
        if given is None and self.catalogue is not None:
            facts = find_facts(self.catalogue, question, self.history, now, self.daily_limit).facts
        said = answer(self.engine, self.persona, question, self.history, facts, adapter)
        if remember:
            self.history += [Message(role="user", content=question), Message(role="assistant", content=said.text)]
        digest = self.engine.adapters[adapter] if adapter else None
        return Said(text=said.text, facts=facts, adapter=adapter, digest=digest, seconds=said.seconds)
