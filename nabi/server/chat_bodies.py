"""Requests and answers of the chat interface, as OpenAI's clients write and read them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from nabi.conversations.records import Fact, Message
from nabi.serving.batching import Answer
from nabi.serving.decoding import MAX_PENALTY, MAX_STOP_CHARS, MAX_STOPS, Decoding
from nabi.serving.routing import Route

DEFAULT_TOKENS = 96
"""Of an answer, when the caller sets no limit: what evaluations give an answer too."""

MAX_CHARS = 20_000
MAX_MESSAGES = 200
MAX_FACTS = 50
MAX_NAME_CHARS = 200

_NEEDLESS: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "response_format": ({"type": "text"},),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "logit_bias": ({},),
        "modalities": (["text"],),
        "audio": (),
        "reasoning_effort": ("none",),
        "verbosity": ("medium",),
        "web_search_options": (),
        "store": (False,),
    }
)
"""OpenAI's fields for what is not done here, with the values that ask for nothing but what is."""

_WITHOUT_EFFECT = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
    }
)
"""OpenAI's fields that change no answer: notes of the caller's own, and hints how to compute or to bill it."""

_NOT_IN_A_TURN = ("tool_calls", "function_call", "audio")


# Control characters other than tab and line ends, and halves of surrogate pairs. Replacement characters may come: an
# answer that held one stands in the history of the next question.
_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_CONTROL = re.compile(f"[{_CONTROLS}]")
_UNSOUND = re.compile(rf"[\ud800-\udfff{_CONTROLS}]")


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
    """One turn. `system` and `developer` turns are taken and not used: a persona speaks under its own prompt. Nor is a
    turn's `name` used: no persona was trained on any."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=MAX_MESSAGES)]

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in _NOT_IN_A_TURN:
                if values.get(name):
                    raise _unsupported(name, "in a message")
            if values.get("role") == "assistant" and isinstance(values.get("content"), str):
                # A model may have said one, and what it said must not keep the talk from going on.
                return values | {"content": _CONTROL.sub("", values["content"])}
        return values

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class ChatBody(BaseModel):
    """A request. Fields that are not known are refused, as OpenAI does, and so is what is not supported of the known
    ones: nothing that should change the answer is passed over in silence."""

    model_config = ConfigDict(allow_inf_nan=False, json_schema_extra={"additionalProperties": False})

    model: Name = Field(description="a persona's id, or an adapter version such as nabiyam--v7")
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=100_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=100_000)
    temperature: float | None = Field(default=None, ge=0, le=2, description="default 0: the likeliest token each time")
    top_p: float | None = Field(default=None, gt=0, le=1)
    frequency_penalty: float | None = Field(default=None, ge=-MAX_PENALTY, le=MAX_PENALTY)
    presence_penalty: float | None = Field(default=None, ge=-MAX_PENALTY, le=MAX_PENALTY)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    n: Literal[1] | None = None
    user: Name | None = Field(default=None, description="who asks; kept as a keyed hash, and only with consent")
    session: Name | None = Field(
        default=None, description="while a candidate is on trial, one session is always answered by the same version"
    )
    safety_identifier: Name | None = Field(
        default=None, description="OpenAI's newer name for who asks; stands for a missing `session`, and is not kept"
    )
    facts: Annotated[list[dict[Name, Text]], Field(max_length=MAX_FACTS)] | None = Field(
        default=None, description="retrieved items as label → value; missing: looked up in the persona's catalogue"
    )

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, value in values.items():
            if name in cls.model_fields or name in _WITHOUT_EFFECT:
                continue
            if name not in _NEEDLESS:
                raise PydanticCustomError(
                    "unknown_parameter", "there is no parameter {param}.", {"param": _in_ascii(name)}
                )
            if value is not None and value not in _NEEDLESS[name]:
                raise _unsupported(name, "with this value" if _NEEDLESS[name] else "")
        return {name: value for name, value in values.items() if name in cls.model_fields}

    @model_validator(mode="after")
    def _usage_of_a_stream(self) -> ChatBody:
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError(
                "invalid_parameter", "{param} is only for a streamed answer.", {"param": "stream_options"}
            )
        return self

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> ChatBody:
        last = self.messages[-1]
        if last.role != "user" or not last.text.strip():
            raise ValueError("the last message must be the user's, and say something")
        return self

    @property
    def asker(self) -> str | None:
        """What tells one session from another; None when the caller does not say."""
        return self.session or self.user or self.safety_identifier

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
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it is written down. Its id, its time and the version that gave it are the same in all pieces.

    Args:
        created: seconds since 1970.
        tells_usage: a streamed answer ends with its usage, and all pieces before have the field, empty.
    """

    answer_id: str
    created: int
    route: Route
    facts: tuple[Fact, ...]
    tells_usage: bool = False

    def whole(self, answer: Answer) -> dict[str, Any]:
        """A complete answer."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": answer.ended, "logprobs": None}
        return self._envelope("chat.completion", [choice]) | {"usage": _usage(answer), "nabi": self._told()}

    def piece(self, delta: dict[str, str], ended: str | None = None) -> dict[str, Any]:
        """One piece of a streamed answer."""
        choice = {"index": 0, "delta": delta, "finish_reason": ended, "logprobs": None}
        return self._envelope("chat.completion.chunk", [choice]) | ({"usage": None} if self.tells_usage else {})

    def closing(self, answer: Answer) -> dict[str, Any]:
        """The piece behind the last one, for who asked for the usage."""
        return self._envelope("chat.completion.chunk", []) | {"usage": _usage(answer), "nabi": self._told()}

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        digest = self.route.adapter.digest if self.route.adapter else self.route.base.revision
        return {
            "id": self.answer_id,
            "object": kind,
            "created": self.created,
            "model": self.route.served_by,
            "system_fingerprint": digest[:16],
            "choices": choices,
        }

    def _told(self) -> dict[str, Any]:
        """What OpenAI's interface has no place for: who answered, by its digest, and what it was given."""
        adapter = self.route.adapter
        return {
            "persona": self.route.persona.id,
            "adapter": adapter.name if adapter else None,
            "digest": adapter.digest if adapter else None,
            "facts": [dict(fact) for fact in self.facts],
        }


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.num_prompt_tokens,
        "completion_tokens": answer.num_tokens,
        "total_tokens": answer.num_prompt_tokens + answer.num_tokens,
    }


def _unsupported(name: str, how: str) -> PydanticCustomError:
    return PydanticCustomError(
        "unsupported_parameter", "{param} is not supported{how}.", {"param": name, "how": f" {how}" if how else ""}
    )


def _in_ascii(name: Any) -> str:
    """A name from outside, in letters that every part of an error can carry."""
    return str(name)[:100].encode("ascii", "backslashreplace").decode()
