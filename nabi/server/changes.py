"""What is live, changed by an operator over HTTP: the same as `nabi rollback`, `promote` and `rollout`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from nabi.server.access import Caller, needs
from nabi.server.chat_bodies import Name
from nabi.server.hosting import Hosting
from nabi.steps import go_live

router = APIRouter(prefix="/v1/personas")

Operator = Annotated[Caller, Depends(needs("operator"))]


class Change(BaseModel):
    """Who changes what is live, and why: both are kept for good."""

    model_config = ConfigDict(extra="forbid")

    who: Name
    why: Name


class Trial(Change):
    """A candidate's share of the sessions."""

    share: int | None = Field(default=None, ge=1, le=100, description="percent; missing: by the persona's plan")
    candidate: Name | None = Field(default=None, description="an adapter version; missing: the newest")


@router.post("/{persona_id}/rollback")
def rollback(
    persona_id: str, request: Request, body: Change, later: BackgroundTasks, _caller: Operator
) -> dict[str, Any]:
    """Ends the candidate's trial, or else puts the previous champion back. New requests meet it from this answer on."""
    hosting = _hosting(request)
    sentence = go_live.roll_back(hosting.platform, persona_id, who=body.who, why=body.why)
    hosting.table.refresh()
    later.add_task(go_live.mirror, hosting.platform, persona_id)
    return {"what": sentence}


@router.post("/{persona_id}/rollout")
def rollout(persona_id: str, request: Request, body: Trial, _caller: Operator) -> dict[str, Any]:
    """Lets a candidate answer a share of the sessions, always the same ones."""
    hosting = _hosting(request)
    trial = go_live.try_out(
        hosting.platform, persona_id, body.share, candidate=body.candidate, who=body.who, why=body.why
    )
    hosting.table.refresh()
    plan = trial.plan.model_dump() if trial.plan else None
    return {"candidate": trial.candidate, "share": trial.share, "since": trial.since, "plan": plan}


def _hosting(request: Request) -> Hosting:
    hosting: Hosting = request.app.state.hosting
    return hosting
