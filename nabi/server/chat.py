"""`POST /v1/chat/completions` and `GET /v1/models`."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from nabi.conversations.records import Fact, Message
from nabi.datasets.samples import chat_messages
from nabi.server.access import Caller, needs
from nabi.server.chat_bodies import ChatBody, Reply
from nabi.server.hosting import Hosting
from nabi.server.keeping import Keeper, Turn
from nabi.server.problems import told
from nabi.serving.batching import Answer
from nabi.serving.chat_engine import Underway

router = APIRouter(prefix="/v1")

Talker = Annotated[Caller, Depends(needs("chat"))]

_LOOK_EVERY_S = 0.5
"""Between two looks whether the asker is still there."""


@router.get("/models")
def models(request: Request, _caller: Talker) -> dict[str, Any]:
    """Personas and who answers for them; each can be asked by its persona's id or its version."""
    hosting: Hosting = request.app.state.hosting
    routes = hosting.table.routes.values()
    names = [*(route.persona.id for route in routes), *(route.adapter.name for route in routes if route.adapter)]
    made = int(request.app.state.started_at)
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": made, "owned_by": "nabi"} for name in names],
    }


@router.get("/models/{model}")
def model(model: str, request: Request, _caller: Talker) -> dict[str, Any]:
    """One of them."""
    hosting: Hosting = request.app.state.hosting
    route = hosting.route(model)
    made = int(request.app.state.started_at)
    return {"id": model, "object": "model", "created": made, "owned_by": "nabi", "nabi": {"answers": route.served_by}}


@router.post("/chat/completions")
async def completions(request: Request, body: ChatBody, _caller: Talker) -> Response:
    """An answer of a persona: complete, or streamed as server-sent events."""
    hosting: Hosting = request.app.state.hosting
    keeper: Keeper = request.app.state.keeper
    turn = await asyncio.to_thread(_begin, hosting, body)
    pieces: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def hear(text: str) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, text)

    pending = await asyncio.to_thread(_ask, hosting, turn, hear if body.stream else None)
    if body.stream:
        events = _events(keeper, turn, pending, pieces)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    answer = await _wait(request, pending)
    await asyncio.to_thread(keeper.keep, turn, answer)
    return JSONResponse(_reply(turn).whole(answer))


def _begin(hosting: Hosting, body: ChatBody) -> Turn:
    """Takes the route, and puts the prompt together as training did."""
    route = hosting.route(body.model).for_session(body.asker or secrets.token_hex(8))
    persona, now = route.persona, datetime.now(UTC)
    facts: tuple[Fact, ...] = ()
    if persona.uses_facts:
        given = body.facts
        facts = hosting.facts(persona, body.question, body.history, now) if given is None else tuple(given)
    turns = [*body.history, Message(role="user", content=body.question)]
    prompt = chat_messages(persona.system_prompt, turns, facts if persona.uses_facts else None)
    return Turn(f"chatcmpl-{secrets.token_hex(16)}", now, body, route, facts, prompt)


def _ask(hosting: Hosting, turn: Turn, told: Callable[[str], None] | None) -> Underway:
    """Brings the request to its engine, which may wait for the disk."""
    engine = hosting.engine(turn.route.base)
    return engine.submit(turn.prompt, turn.route.adapter, turn.body.decoding, told=told)


def _reply(turn: Turn) -> Reply:
    options = turn.body.stream_options
    tells_usage = options is not None and options.include_usage
    return Reply(turn.answer_id, int(turn.at.timestamp()), turn.route, turn.facts, tells_usage)


async def _wait(request: Request, pending: Underway) -> Answer:
    """The answer; when the asker goes away, nobody computes it any further."""
    answer = asyncio.wrap_future(pending.answer)
    while not answer.done():
        await asyncio.wait({answer}, timeout=_LOOK_EVERY_S)
        if not answer.done() and await request.is_disconnected():
            pending.abandon()
    return answer.result()


async def _events(keeper: Keeper, turn: Turn, pending: Underway, pieces: asyncio.Queue[str]) -> AsyncIterator[str]:
    """The answer as server-sent events, ending with [DONE]; an error on the way is the last event."""
    answer = asyncio.wrap_future(pending.answer)
    reply = _reply(turn)
    try:
        yield _event(reply.piece({"role": "assistant", "content": ""}))
        while not (answer.done() and pieces.empty()):
            heard = asyncio.ensure_future(pieces.get())
            either: set[asyncio.Future[Any]] = {heard, answer}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if heard.done():
                yield _event(reply.piece({"content": heard.result()}))
            else:
                heard.cancel()
                await asyncio.sleep(0)  # the last pieces were sent before the answer was complete
        complete = answer.result()
        await asyncio.to_thread(keeper.keep, turn, complete)
        yield _event(reply.piece({}, complete.ended))
        if reply.tells_usage:
            yield _event(reply.closing(complete))
        yield "data: [DONE]\n\n"
    except Exception as error:  # the status is sent already: the client learns of it from the last event
        yield _event(told(error)[1])
    finally:
        pending.abandon()


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
