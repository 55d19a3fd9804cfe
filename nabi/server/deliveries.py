"""Conversations that other systems bring: chats, finished meetings, search logs; the same readers as `nabi ingest`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from nabi.conversations.ingest import IngestReport, ingest_file
from nabi.conversations.keys import load_or_create_key
from nabi.errors import ConfigError, TransientError
from nabi.personas.model import Persona
from nabi.server.access import Caller, needs
from nabi.server.chat_bodies import Name
from nabi.server.inbox import Inbox
from nabi.wiring import Platform

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1")

Operator = Annotated[Caller, Depends(needs("operator"))]
Whose = Annotated[Name | None, Query(description="whose conversations they are, when the rows do not say")]

_A_FILE = {
    "requestBody": {
        "required": True,
        "description": "a file as `nabi ingest` reads it",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

MAX_TOLD = 100
"""Refused rows that the answer lists; all of them are kept apart, see `nabi review`."""


@router.post("/conversations", openapi_extra=_A_FILE)
async def conversations(request: Request, _caller: Operator, persona: Whose = None) -> dict[str, Any]:
    """Chat logs: JSON lines, or one JSON array of the rows."""
    return await _ingest(request, "chat", persona)


@router.post("/meetings", openapi_extra=_A_FILE)
async def meetings(request: Request, _caller: Operator, persona: Whose = None) -> dict[str, Any]:
    """A finished meeting: a transcript as JSON, WebVTT, SubRip or plain text. One without a time took place today."""
    return await _ingest(request, "meeting", persona)


@router.post("/search-logs", openapi_extra=_A_FILE)
async def search_logs(request: Request, _caller: Operator, persona: Whose = None) -> dict[str, Any]:
    """What a search was asked, found and answered: JSON lines, or one JSON array of the rows."""
    return await _ingest(request, "search", persona)


async def _ingest(request: Request, source: str, persona: str | None) -> dict[str, Any]:
    platform: Platform = request.app.state.hosting.platform
    report = await asyncio.to_thread(_read, platform, request.app.state.inbox, await request.body(), source, persona)
    if report.withdrawn:
        request.app.state.deletions.wake()
    return _told(report)


def _read(platform: Platform, inbox: Inbox, body: bytes, source: str, persona: str | None) -> IngestReport:
    """Reads a body as the file that it would be; nothing of it stays on the disk but what the store takes."""
    # A body has no name to tell what it is: the readers take a file of this ending for one array of rows.
    ending = "json" if body.lstrip().startswith(b"[") else "txt"
    with inbox.holding(body, ending) as path:
        return ingest_file(
            path,
            source,
            platform.store,
            persona,
            load_or_create_key(platform.settings.state / "secrets" / "user.key"),
            personas=_declared(platform),
            happened_at=datetime.now(UTC) if source == "meeting" else None,
        )


def _declared(platform: Platform) -> Mapping[str, Persona]:
    """Who is known here. A broken file is not the sender's fault: the delivery is welcome once it is mended.

    Raises:
        TransientError: a persona's file is broken, so that its rows could not be told from those of nobody.
    """
    try:
        return platform.personas()
    except ConfigError as error:
        logger.error("no delivery can be taken: %s", error)
        raise TransientError(
            "the personas here cannot all be read now; nothing was taken. Deliver it again."
        ) from error


def _told(report: IngestReport) -> dict[str, Any]:
    return {
        "read_as": report.recognised,
        "new": report.accepted,
        "known": report.known,
        "withdrawn": len(report.withdrawn),
        "refused": len(report.refused),
        "personas": dict(report.personas),
        "speakers": [
            {"persona": who.persona_id, "utterances": who.num_utterances, "usable": who.num_accepted}
            for who in report.speakers
        ],
        "refused_rows": [
            {"line": row.line, "field": row.field, "reason": row.reason} for row in report.refused[:MAX_TOLD]
        ],
    }
