"""The HTTP application: what is behind which path, and who may come in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from nabi.repeating import Repeating
from nabi.server import changes, chat, deliveries, health, people, votes, web
from nabi.server.access import Access
from nabi.server.bodies import BodyLimit
from nabi.server.hosting import Hosting
from nabi.server.inbox import Inbox
from nabi.server.keeping import Keeper
from nabi.server.measures import Measures
from nabi.server.problems import add_handlers
from nabi.server.watching import watch_all
from nabi.steps.forget import finish_pending
from nabi.wiring import Platform

_DELETIONS_EVERY_S = 60.0
"""Between two tries to finish what people asked to forget, a query each; a new request is begun at once."""

_DELETIONS_END_WITHIN_S = 5.0
"""One that waits for a training must not keep the server from ending; killed at any point it is gone on with later."""


def make_app(platform: Platform) -> FastAPI:
    """The application over an installation; its engines are loaded when it starts and let go at its end."""
    settings = platform.settings
    hosting = Hosting(platform)
    measures = Measures(hosting)
    keeper = Keeper(platform, measures)
    deletions = Repeating("deletions", partial(finish_pending, platform), every_s=_DELETIONS_EVERY_S)
    inbox = Inbox(settings.state / "inbox")
    watch = Repeating("watch", partial(watch_all, hosting), every_s=settings.watch_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(hosting.start)
        await asyncio.to_thread(inbox.sweep)
        keeper.spool.start()
        watch.start()
        deletions.start()
        deletions.wake()  # what was asked for before this process began
        yield
        await asyncio.to_thread(watch.stop)
        await asyncio.to_thread(hosting.close)
        await asyncio.to_thread(keeper.spool.stop)
        await asyncio.to_thread(deletions.stop, _DELETIONS_END_WITHIN_S)

    # Swagger's page loads its scripts from the outside: ours at /docs shows /openapi.json, which is behind a token.
    app = FastAPI(
        title="nabi",
        version=version("nabi"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.hosting = hosting
    app.state.measures = measures
    app.state.keeper = keeper
    app.state.inbox = inbox
    app.state.deletions = deletions
    app.state.background = background = (hosting.table.looking, keeper.spool.taking, watch, deletions)
    measures.tell_of(background)
    app.state.ballots = votes.Ballots(platform)
    app.state.access = Access(settings.state / "secrets", per_minute=settings.requests_per_minute)
    app.state.started_at = time.time()
    app.include_router(health.router)
    for part in (chat, people, deliveries, changes, votes, web):
        app.include_router(part.router)
    add_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    return app
