"""What is live, seen and changed by an operator over HTTP: as `nabi status`, `rollback`, `promote` and `rollout`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from nabi.errors import ConfigError
from nabi.registry.version_names import is_version_name, parse_version_name
from nabi.server.access import Caller, needs
from nabi.server.chat_bodies import Name
from nabi.server.hosting import Hosting
from nabi.steps import go_live
from nabi.steps.standing import Details, Standing, details, standings

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


class Promotion(Change):
    """A version that is to be live, past the gate."""

    version: Name = Field(description="an adapter version of the persona")


@router.get("")
def every(request: Request, _caller: Operator) -> list[Standing]:
    """What is live for every persona, what it can go back to, and what is on trial."""
    return standings(_hosting(request).platform)


@router.get("/{persona_id}")
def one(persona_id: Name, request: Request, _caller: Operator) -> Details:
    """The same of one persona, with what is measured of its versions and the newest changes."""
    return details(_hosting(request).platform, persona_id)


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


@router.post("/{persona_id}/promote")
def promote(
    persona_id: Name, request: Request, body: Promotion, later: BackgroundTasks, _caller: Operator
) -> dict[str, Any]:
    """Makes a version live by hand, and ends the candidate's trial. New requests meet it from this answer on."""
    hosting = _hosting(request)
    if not is_version_name(body.version) or parse_version_name(body.version)[0] != persona_id:
        raise ConfigError(f"{body.version} is no version of {persona_id}.")
    live = go_live.promote(hosting.platform, body.version, who=body.who, why=body.why)
    hosting.table.refresh()
    later.add_task(go_live.mirror, hosting.platform, persona_id)
    return {"champion": live.champion, "previous": live.previous}


@router.post("/{persona_id}/rollout")
def rollout(
    persona_id: str, request: Request, body: Trial, later: BackgroundTasks, _caller: Operator
) -> dict[str, Any]:
    """Lets a candidate answer a share of the sessions, always the same ones."""
    hosting = _hosting(request)
    trial = go_live.try_out(
        hosting.platform, persona_id, body.share, candidate=body.candidate, who=body.who, why=body.why
    )
    hosting.table.refresh()
    later.add_task(go_live.mirror, hosting.platform, persona_id)
    plan = trial.plan.model_dump() if trial.plan else None
    return {"candidate": trial.candidate, "share": trial.share, "since": trial.since, "plan": plan}


def _hosting(request: Request) -> Hosting:
    hosting: Hosting = request.app.state.hosting
    return hosting
