"""Is it alive, can it answer, what does it measure."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

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
    }
    return JSONResponse(state, 200 if table.routes else 503)


@router.get("/metrics")
def metrics(request: Request, _caller: Operator) -> Response:
    """What is measured, for Prometheus."""
    measures: Measures = request.app.state.measures
    return Response(measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/live")
def live(request: Request, _caller: Operator) -> dict[str, Any]:
    """Who answers for whom in this process, and what is in memory."""
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
        "in_memory": {engine.ref.name: list(engine.residents.digests) for engine in hosting.engines},
    }


@router.get("/openapi.json", include_in_schema=False)
def description(request: Request, _caller: Talker) -> dict[str, Any]:
    """Every route, as OpenAPI describes them."""
    described: dict[str, Any] = request.app.openapi()
    return described
