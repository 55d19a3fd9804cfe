"""What stays of an answer: its record always, its words only where the asker allows it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nabi.conversations.consents import NOTHING
from nabi.conversations.keys import load_or_create_key, user_key
from nabi.conversations.records import Consent, Conversation, Fact, Message
from nabi.conversations.spool import Spool
from nabi.errors import TransientError
from nabi.evaluation.hard_gates import broken_rules
from nabi.evaluation.prompts import given_text
from nabi.registry.answers import AnswerRecord
from nabi.server.chat_bodies import ChatBody
from nabi.server.measures import Measures
from nabi.serving.batching import Answer
from nabi.serving.routing import Route
from nabi.wiring import Platform

logger = logging.getLogger(__name__)

_MAX_REMEMBERED = 10_000
"""Consents remembered for the time in which the database is away."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request on its way to an answer. The route was taken once and does not change any more."""

    answer_id: str
    at: datetime
    body: ChatBody
    route: Route
    facts: tuple[Fact, ...]
    prompt: list[dict[str, str]]


def conversation_id_of(answer_id: str) -> str:
    """Under which id the conversation of an answer is stored."""
    return f"chat/{answer_id}"


class Keeper:
    """Writes down answers as they are given; the database learns of them in the background."""

    def __init__(self, platform: Platform, measures: Measures) -> None:
        self._platform = platform
        self._measures = measures
        self._key = load_or_create_key(platform.settings.state / "secrets" / "user.key")
        self._remembered: OrderedDict[str, Consent] = OrderedDict()
        self.spool = Spool(platform.settings.state / "spool", self._take)

    def key_of(self, user: str) -> str:
        """The keyed hash of a user's id, the only form in which it is kept."""
        return user_key(user, self._key)

    def keep(self, turn: Turn, answer: Answer) -> None:
        """Keeps an answer before its last word leaves; when this returns, it survives a crash."""
        violations = broken_rules(answer.text, given_text(turn.prompt), turn.route.persona)
        self._measures.answered(turn.route, answer, violations)
        conversation = self._conversation(turn, answer)
        self.spool.put(
            {
                "answer": _record(turn, answer, tuple(violations)).model_dump(mode="json"),
                "conversation": conversation.model_dump(mode="json") if conversation else None,
            }
        )

    def _conversation(self, turn: Turn, answer: Answer) -> Conversation | None:
        """What was said, when the asker is known and allows training with it; else None."""
        if turn.body.user is None or not answer.text:
            return None
        key = self.key_of(turn.body.user)
        consent = self._consent(key)
        if not consent.allows_training_at(turn.at) or consent.guardian is False:
            return None
        said = (Message(role="user", content=turn.body.question), Message(role="assistant", content=answer.text))
        return Conversation(
            conversation_id=conversation_id_of(turn.answer_id),
            persona_id=turn.route.persona.id,
            source="chat",
            occurred_at=turn.at,
            messages=(*turn.body.history, *said),
            facts=turn.facts,
            user_key=key,
            consent=consent,
            adapter_version=turn.route.served_by,
        )

    def _consent(self, key: str) -> Consent:
        """What a person allows now; while the database is away, what they allowed when it was last asked.

        A withdrawal that this process does not know of yet still counts: the store takes nothing in that one covers.
        """
        try:
            consent = self._platform.consents.of(key)
        except TransientError as error:
            logger.warning("consents cannot be read (%s)", error)
            return self._remembered.get(key, NOTHING)
        self._remembered[key] = consent
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return consent

    def _take(self, entries: list[dict[str, Any]]) -> None:
        said = [Conversation.model_validate(entry["conversation"]) for entry in entries if entry["conversation"]]
        if said:
            self._platform.store.add(said)
        # Last: where a record stands, its conversation does too.
        self._platform.answers.add(AnswerRecord.model_validate(entry["answer"]) for entry in entries)


def _record(turn: Turn, answer: Answer, violations: tuple[str, ...]) -> AnswerRecord:
    route = turn.route
    return AnswerRecord(
        answer_id=turn.answer_id,
        persona_id=route.persona.id,
        adapter_version=route.adapter.name if route.adapter else None,
        digest=route.adapter.digest if route.adapter else route.base.revision,
        at=turn.at.astimezone(UTC),
        num_prompt_tokens=answer.num_prompt_tokens,
        num_tokens=answer.num_tokens,
        num_chars=len(answer.text),
        ended=answer.ended,
        seconds=answer.seconds,
        seconds_to_first=answer.seconds_to_first,
        violations=violations,
    )
