"""Requests and answers of the chat interface, as OpenAI's clients write and read them."""

from __future__ import annotations

import re
import time
import unicodedata
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nabi.conversations.records import Fact, Message
from nabi.serving.batching import Answer
from nabi.serving.decoding import MAX_STOP_CHARS, MAX_STOPS, Decoding
from nabi.serving.routing import Route

DEFAULT_TOKENS = 96
"""Of an answer, when the caller sets no limit: what evaluations give an answer too."""

MAX_CHARS = 20_000
MAX_MESSAGES = 200
MAX_FACTS = 50
MAX_NAME_CHARS = 200

_UNSUPPORTED = ("tools", "functions", "response_format", "logprobs", "top_logprobs", "logit_bias", "audio")


# Control characters other than tab and line ends, and halves of surrogate pairs. Replacement characters may come: an
# answer that held one stands in the history of the next question.
_UNSOUND = re.compile(r"[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _sound(text: str) -> str:
    if _UNSOUND.search(text):
        raise ValueError("text must hold no control characters and no halves of surrogate pairs")
    return unicodedata.normalize("NFC", text)  # as what was learned from is composed


Text = Annotated[str, Field(max_length=MAX_CHARS), AfterValidator(_sound)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_sound)]
Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS), AfterValidator(_sound)]


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """One turn. `system` and `developer` turns are taken and not used: a persona speaks under its own prompt."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=MAX_MESSAGES)]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatBody(BaseModel):
    """A request. What would change the answer and is not supported is refused; other unknown fields are ignored."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: Name = Field(description="a persona's id, or an adapter version such as nabiyam--v7")
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=100_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=100_000)
    temperature: float | None = Field(default=None, ge=0, le=2, description="default 0: the likeliest token each time")
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    n: Literal[1] | None = None
    user: Name | None = Field(default=None, description="who asks; kept as a keyed hash, and only with consent")
    session: Name | None = Field(
        default=None, description="while a candidate is on trial, one session is always answered by the same version"
    )
    facts: Annotated[list[dict[Name, Text]], Field(max_length=MAX_FACTS)] | None = Field(
        default=None, description="retrieved items as label → value; missing: looked up in the persona's catalogue"
    )

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, values: Any) -> Any:
        if isinstance(values, dict):
            asked = [name for name in _UNSUPPORTED if values.get(name)]
            if asked and not (asked == ["response_format"] and values[asked[0]] == {"type": "text"}):
                raise ValueError(f"{', '.join(asked)} is not supported")
        return values

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> ChatBody:
        last = self.messages[-1]
        if last.role != "user" or not last.text.strip():
            raise ValueError("the last message must be the user's, and say something")
        return self

    @property
    def question(self) -> str:
        return self.messages[-1].text

    @property
    def history(self) -> list[Message]:
        """The turns before the question, without the caller's system turns."""
        turns = (turn for turn in self.messages[:-1] if turn.role in ("user", "assistant"))
        return [Message(role=cast(Literal["user", "assistant"], turn.role), content=turn.text) for turn in turns]

    @property
    def decoding(self) -> Decoding:
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Decoding(
            max_new_tokens=self.max_completion_tokens or self.max_tokens or DEFAULT_TOKENS,
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stops=stops,
        )


def usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.num_prompt_tokens,
        "completion_tokens": answer.num_tokens,
        "total_tokens": answer.num_prompt_tokens + answer.num_tokens,
    }


def whole(answer_id: str, route: Route, answer: Answer, facts: tuple[Fact, ...]) -> dict[str, Any]:
    """A complete answer; `model` names the very version that gave it."""
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": answer.ended, "logprobs": None}
    return _envelope(answer_id, route, "chat.completion", [choice]) | {
        "usage": usage(answer),
        "nabi": _told_about(route, facts),
    }


def piece(answer_id: str, route: Route, delta: dict[str, str], ended: str | None = None) -> dict[str, Any]:
    """One piece of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": ended, "logprobs": None}
    return _envelope(answer_id, route, "chat.completion.chunk", [choice])


def closing(answer_id: str, route: Route, answer: Answer, facts: tuple[Fact, ...]) -> dict[str, Any]:
    """The piece behind the last one, for who asked for the usage."""
    envelope = _envelope(answer_id, route, "chat.completion.chunk", [])
    return envelope | {"usage": usage(answer), "nabi": _told_about(route, facts)}


def _envelope(answer_id: str, route: Route, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    digest = route.adapter.digest if route.adapter else route.base.revision
    return {
        "id": answer_id,
        "object": kind,
        "created": int(time.time()),
        "model": route.served_by,
        "system_fingerprint": digest[:16],
        "choices": choices,
    }


def _told_about(route: Route, facts: tuple[Fact, ...]) -> dict[str, Any]:
    """What OpenAI's interface has no place for: who answered, by its digest, and what it was given."""
    adapter = route.adapter
    return {
        "persona": route.persona.id,
        "adapter": adapter.name if adapter else None,
        "digest": adapter.digest if adapter else None,
        "facts": [dict(fact) for fact in facts],
    }
