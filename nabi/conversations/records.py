"""The one record for everything that was said, whatever system it came from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time has no zone; write it as 2026-07-01T09:00:00+09:00")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]
"""A point in time with a zone, kept in UTC."""

Role = Literal["system", "user", "assistant"]

Fact = dict[str, str]
"""One retrieved item as label → value, e.g. {"가게": "해맑은분식", "가격": "4,500원"}. Order is kept."""


class Frozen(BaseModel):
    """Base of nabi's records: immutable, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Frozen):
    role: Role
    content: str


class Consent(Frozen):
    """What the person allowed. Absent consent is `Consent()`, and that means no."""

    training: bool = False
    given_at: Moment | None = None
    withdrawn_at: Moment | None = None
    guardian: bool | None = Field(default=None, description="a guardian agreed; a child's consent needs it")

    def allows_training_at(self, moment: datetime) -> bool:
        """True when training was allowed at `moment` and has not been withdrawn since."""
        if not self.training or self.withdrawn_at is not None:
            return False
        return self.given_at is None or self.given_at <= moment


class Conversation(Frozen):
    """What was said, by whom, when, and what may be done with it."""

    conversation_id: str
    persona_id: str
    source: str = Field(description="chat, meeting, search, agents, or bootstrap for catalogue dialogues")
    occurred_at: Moment
    messages: tuple[Message, ...]
    facts: tuple[Fact, ...] = Field(default=(), description="what was retrieved as context for the last answer")
    user_key: str | None = Field(default=None, description="keyed hash of the user's id; never the raw id")
    consent: Consent = Consent()
    kind: str | None = Field(default=None, description="what it is about, e.g. budget or allergy")
    feedback: float | None = Field(default=None, ge=-1, le=1, description="the user's reaction, -1 bad to 1 good")
    adapter_version: str | None = Field(default=None, description="who answered, e.g. nabiyam--v7")
    style_tags: tuple[str, ...] = ()
    safety_flags: tuple[str, ...] = ()
