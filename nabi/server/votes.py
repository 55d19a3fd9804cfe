"""The page on which people say, blind, which of two answers is better, and what it asks the server."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from nabi.errors import NabiError
from nabi.evaluation.preference import MOST, Pair, Side, Vote
from nabi.server.access import Access, NoAccess
from nabi.server.problems import Changed, NotHere
from nabi.steps.blind import BlindSet, cast, evaluations_of, open_set, read_votes, result
from nabi.steps.invitations import Invitation, NotInvited, read_ticket
from nabi.wiring import Platform

logger = logging.getLogger(__name__)

router = APIRouter()

_OPEN_SETS = 8
"""Blind sets in memory; an installation asks about one or two at a time."""


class Ballots:
    """Blind sets as they are voted on; each is read again once its evaluation changed, as a deletion does it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str, int], tuple[str, BlindSet]] = OrderedDict()

    def invited(self, ticket: str) -> Invitation:
        """Whom a ticket lets in.

        Raises:
            NoAccess: nobody.
        """
        try:
            return read_ticket(self._platform, ticket)
        except NotInvited as error:
            raise NoAccess(error.what, fix=error.fix) from error

    def of(self, invitation: Invitation) -> tuple[str, BlindSet]:
        """What somebody is asked, and its edition: where that is another one, numbers mean other prompts."""
        name = (invitation.persona_id, invitation.adapter, invitation.num)
        scores = evaluations_of(self._platform, invitation.persona_id) / invitation.adapter / "scores.json"
        if not scores.is_file():
            raise NotHere("what this link asks about is gone.", fix="Ask whoever sent it.")
        found = scores.stat()
        edition = f"{found.st_mtime_ns:x}-{found.st_size:x}"
        with self._lock:
            if name not in self._open or self._open[name][0] != edition:
                self._open[name] = (edition, open_set(self._platform, *name))
            self._open.move_to_end(name)
            while len(self._open) > _OPEN_SETS:
                self._open.popitem(last=False)
            return self._open[name]

    def keep(self, asked: BlindSet, vote: Vote) -> None:
        """Keeps a vote; what all of them say goes to MLflow with the last one of a person."""
        cast(self._platform, asked, vote)
        if len(_voted(asked, vote.who)) == len(asked.pairs):
            try:
                result(self._platform, asked)
            except NabiError as error:
                # The votes are kept: `nabi review ab --result` and the run that waits for them tell MLflow again.
                logger.warning("MLflow was not told of the votes on %s: %s", asked.new, error)


class Ballot(BaseModel):
    """One vote."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(ge=1, le=MOST, description="of the prompt, as it was shown")
    edition: str = Field(max_length=64, description="of the set, as it was shown")
    side: Side


def _invited(request: Request) -> Invitation:
    access: Access = request.app.state.access
    ballots: Ballots = request.app.state.ballots
    kind, _, ticket = (request.headers.get("authorization") or "").partition(" ")
    if kind.lower() != "bearer":
        raise NoAccess("a voting link's ticket is needed.", fix="Open the link that you were sent.")
    invitation = ballots.invited(ticket)
    access.count("vote")
    return invitation


Voter = Annotated[Invitation, Depends(_invited)]


@router.get("/v1/votes")
def shown(
    request: Request,
    voter: Voter,
    number: Annotated[int | None, Query(ge=1, le=MOST, description="default: the first without a vote")] = None,
) -> dict[str, Any]:
    """Two answers to one prompt and how far the voter is. Which answer is whose is in no byte of it."""
    ballots: Ballots = request.app.state.ballots
    edition, asked = ballots.of(voter)
    return {"edition": edition, **_shown(request, asked, voter, number)}


@router.post("/v1/votes")
def take(request: Request, body: Ballot, voter: Voter) -> dict[str, Any]:
    """Keeps a vote at once, the later one where there are two on a prompt; shows the next prompt."""
    ballots: Ballots = request.app.state.ballots
    edition, asked = ballots.of(voter)
    if body.edition != edition:
        raise Changed("the prompts changed meanwhile, so nobody can tell which one this vote is on.", fix="Look again.")
    pair = _pair(asked, body.number)
    choice = pair.choice_of(body.side)
    ballots.keep(asked, Vote(sample_id=pair.sample_id, who=voter.who, choice=choice, at=datetime.now(UTC)))
    return {"edition": edition, **_shown(request, asked, voter, None)}


def _shown(request: Request, asked: BlindSet, voter: Invitation, number: int | None) -> dict[str, Any]:
    platform: Platform = request.app.state.hosting.platform
    persona, voted = platform.persona(voter.persona_id), _voted(asked, voter.who)
    if number is None:
        places = (place for place, pair in enumerate(asked.pairs, 1) if pair.sample_id not in voted)
        number = next(places, None)
    progress = {
        "persona": persona.name,
        "who": voter.who,
        "total": len(asked.pairs),
        "done": len(voted),
        "number": number,
    }
    if number is None:
        return progress
    pair = _pair(asked, number)
    sample = asked.samples[pair.sample_id]
    return {
        **progress,
        "facts": sample.facts if persona.uses_facts else (),
        "turns": [turn.model_dump() for turn in sample.messages[:-1] if turn.role != "system"],
        "left": pair.left,
        "right": pair.right,
        "chosen": _side_of(pair, voted.get(pair.sample_id)),
    }


def _pair(asked: BlindSet, number: int) -> Pair:
    if number > len(asked.pairs):
        raise NotHere(f"the set has {len(asked.pairs)} prompts.")
    return asked.pairs[number - 1]


def _voted(asked: BlindSet, who: str) -> dict[str, Vote]:
    """A person's last vote on each prompt of the set."""
    asked_about = {pair.sample_id for pair in asked.pairs}
    votes = (vote for vote in read_votes(asked.votes_file) if vote.who == who and vote.sample_id in asked_about)
    return {vote.sample_id: vote for vote in votes}


def _side_of(pair: Pair, vote: Vote | None) -> Side | None:
    """What somebody chose before: their own choice, so it tells them nothing new."""
    sides: tuple[Side, ...] = ("left", "right", "tie")
    return next((side for side in sides if vote and pair.choice_of(side) == vote.choice), None)
