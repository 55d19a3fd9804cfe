"""What people decide: how they took an answer, what they allow, and that everything of theirs is to go."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from nabi.conversations.erasure import Erasure
from nabi.errors import DataError
from nabi.server.access import Caller, needs
from nabi.server.chat_bodies import MAX_NAME_CHARS, Name
from nabi.server.hosting import Hosting
from nabi.server.keeping import Keeper, conversation_id_of
from nabi.server.measures import Measures
from nabi.server.problems import NotHere
from nabi.wiring import Platform

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1")

Talker = Annotated[Caller, Depends(needs("chat"))]
Operator = Annotated[Caller, Depends(needs("operator"))]
User = Annotated[str, Path(min_length=1, max_length=MAX_NAME_CHARS)]

WHO = "the server, on request"


class Feedback(BaseModel):
    """How a user took an answer."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    answer_id: Name = Field(description="the `id` of a chat completion")
    rating: float = Field(ge=-1, le=1, description="-1 bad to 1 good")


class Wish(BaseModel):
    """What a user allows."""

    model_config = ConfigDict(extra="forbid")

    training: bool
    guardian: bool | None = Field(default=None, description="a guardian agreed; a child below 14 needs it")
    age: int | None = Field(default=None, ge=0, le=150, description="in years; looked at and not kept")


@router.post("/feedback")
def feedback(request: Request, body: Feedback, _caller: Talker) -> dict[str, Any]:
    """Keeps how a user took an answer; a bad one teaches the next training what not to say."""
    keeper, platform = _keeper(request), _platform(request)
    keeper.spool.drain()  # the answer may be on its way still
    record = platform.answers.get(body.answer_id)
    if record is None or not platform.answers.react(body.answer_id, body.rating, datetime.now(UTC)):
        raise NotHere("there is no answer of that id.", fix="Send the `id` of a chat completion.")
    hosting: Hosting = request.app.state.hosting
    measures: Measures = request.app.state.measures
    measures.reacted(record.persona_id, record.adapter_version or hosting.base_name(record.persona_id), body.rating)
    learned_from = platform.store.react(conversation_id_of(body.answer_id), body.rating)
    return {"answer_id": body.answer_id, "rating": body.rating, "conversation_kept": learned_from}


@router.put("/consents/{user}")
def consent(user: User, request: Request, body: Wish, _caller: Talker) -> dict[str, Any]:
    """Keeps what a user allows from now on. A withdrawal also deletes what they said from now on."""
    keeper, platform, now = _keeper(request), _platform(request), datetime.now(UTC)
    key = keeper.key_of(_sound(user))
    if body.training:
        kept = platform.consents.give(key, now, guardian=body.guardian, age=body.age)
        return {"training": kept.training and kept.guardian is not False, "since": kept.given_at}
    kept = platform.consents.withdraw(key, now)
    erasure = platform.store.withdraw_consent(key, kept.withdrawn_at or now, who=WHO)
    request.app.state.deletions.wake()
    return {"training": False, "since": kept.withdrawn_at, "request": erasure.id}


@router.delete("/users/{user}", status_code=202)
def forget(user: User, request: Request, _caller: Operator) -> dict[str, Any]:
    """Deletes everything of a user, everywhere; what was done is told by `GET /v1/requests/{id}`."""
    keeper, platform = _keeper(request), _platform(request)
    key = keeper.key_of(_sound(user))
    keeper.spool.drain()  # what they said a moment ago belongs to it
    erasure = platform.store.forget_person(key, who=WHO)
    platform.consents.forget(key)
    request.app.state.deletions.wake()
    return _told(platform, erasure)


@router.get("/requests/{number}")
def erasure(number: Annotated[int, Path(ge=1, lt=2**31)], request: Request, _caller: Operator) -> dict[str, Any]:
    """What was done for a request to forget so far."""
    platform = _platform(request)
    found = platform.store.erasures.get(number)
    if found is None:
        raise NotHere("there is no request of that number.")
    return _told(platform, found)


def _told(platform: Platform, erasure: Erasure) -> dict[str, Any]:
    return {
        "request": erasure.id,
        "kind": erasure.kind,
        "state": erasure.state,
        "requested_at": erasure.requested_at,
        "finished_at": erasure.finished_at,
        "deleted": [
            {"place": entry.place, "name": entry.name, "num": entry.num}
            for entry in platform.store.erasures.entries(erasure)
        ],
    }


def _sound(user: str) -> str:
    if not user.isprintable():
        raise DataError("a user's id is printable text.")
    return user


def _keeper(request: Request) -> Keeper:
    keeper: Keeper = request.app.state.keeper
    return keeper


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.hosting.platform
    return platform
