"""Is it alive, can it answer, what does it measure."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from nabi.errors import NabiError
from nabi.server.access import Caller, needs
from nabi.server.hosting import Hosting
from nabi.server.measures import Measures

router = APIRouter()

Operator = Annotated[Caller, Depends(needs("operator"))]
Talker = Annotated[Caller, Depends(needs("chat"))]


@router.get("/healthz")
def alive() -> dict[str, str]:
    """The process answers. Open to everybody."""
    return {"status": "alive"}


@router.get("/readyz")
def ready(request: Request) -> JSONResponse:
    """Somebody can be answered. Open to everybody, so it names no names."""
    table = request.app.state.hosting.table
    state: dict[str, Any] = {
        "personas": len(table.routes),
        "cannot_be_served": len(table.broken),
        "ledger": "away" if table.out_of_reach else "read",
        "in_trouble": [work.name for work in request.app.state.background if work.trouble],
    }
    return JSONResponse(state, 200 if table.routes else 503)


@router.get("/metrics")
def metrics(request: Request, _caller: Operator) -> Response:
    """What is measured, for Prometheus."""
    measures: Measures = request.app.state.measures
    return Response(measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/live")
def live(request: Request, _caller: Operator) -> dict[str, Any]:
    """Who answers for whom in this process, what is in memory, and what of its work beside the answers fails."""
    hosting: Hosting = request.app.state.hosting
    return {
        "routes": {
            persona_id: {
                "base": route.base.name,
                "adapter": route.adapter.name if route.adapter else None,
                "digest": route.adapter.digest if route.adapter else None,
            }
            for persona_id, route in hosting.table.routes.items()
        },
        "broken": {persona_id: error.what for persona_id, error in hosting.table.broken.items()},
        "in_trouble": {
            work.name: _in_short(trouble) for work in request.app.state.background if (trouble := work.trouble)
        },
        "in_memory": {engine.ref.name: list(engine.residents.digests) for engine in hosting.engines},
    }


def _in_short(error: Exception) -> str:
    """What we foresaw says what to do; of anything else only its kind leaves the server's log."""
    if isinstance(error, ExceptionGroup):
        return f"{error.message}: {'; '.join(map(_in_short, error.exceptions))}"
    return str(error) if isinstance(error, NabiError) else f"{type(error).__name__}. The server's log tells more."


@router.get("/openapi.json", include_in_schema=False)
def description(request: Request, _caller: Talker) -> dict[str, Any]:
    """Every route, as OpenAPI describes them."""
    described: dict[str, Any] = request.app.openapi()
    return described
