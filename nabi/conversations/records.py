"""The one record for everything that was said, whatever system it came from."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_serializer, model_validator

from nabi.utc import in_utc

Moment = Annotated[datetime, AfterValidator(in_utc)]
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


BasisSource = Literal["meeting", "search", "agents"]
"""Sources whose rows may come without a consent of their own. Chats never do: there a person speaks for themselves."""


class Basis(Frozen):
    """On what ground a source without consent of its own may be learned from: who decided it, when and why."""

    source: BasisSource
    by: str = Field(min_length=1, description="name and office of who decided it")
    on: date = Field(description="the day of the decision")
    why: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _yaml_reads_the_key_on_as_true(cls, values: Any) -> Any:
        """YAML 1.1 takes a bare `on` for a boolean, as a key too."""
        if isinstance(values, dict):
            return {"on" if key is True else key: value for key, value in values.items()}
        return values

    @field_serializer("on")
    def _as_text(self, on: date) -> str:
        return on.isoformat()


class Conversation(Frozen):
    """What was said, by whom, when, and what may be done with it."""

    conversation_id: str
    persona_id: str
    source: str = Field(description="chat, character, meeting, search, agents, a chat row's own, or bootstrap")
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
    basis: Basis | None = Field(
        default=None, description="what stands for consent where the source has none; `consent.training` is then true"
    )
    golden: bool = Field(default=False, description="the last answer is a golden one that replaced the delivered one")
    other_keys: tuple[str, ...] = Field(
        default=(), description="keyed hashes of other people whose words are in it, as the user's turns of a meeting"
    )
