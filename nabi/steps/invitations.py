"""Links that let one person vote on one blind set and do nothing else: signed, and good for some days only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from nabi.conversations.records import Frozen, Moment
from nabi.errors import ConfigError, NabiError
from nabi.secret_file import read_or_create
from nabi.steps.blind import BlindSet
from nabi.wiring import Platform

_KEY_BYTES = 32
_MAX_NAME_CHARS = 100


class NotInvited(NabiError):
    """A link that was not made here, or whose days are over."""


class Invitation(Frozen):
    """Who may vote on what, until when. It says nothing about who stands on which side.

    Attributes:
        num: prompts of the set at most.
    """

    persona_id: str
    adapter: str
    num: int
    who: str
    until: Moment


def invite(platform: Platform, asked: BlindSet, persona_id: str, num: int, who: str) -> str:
    """A ticket for one person, to be handed on in a link.

    Raises:
        ConfigError: the name cannot stand beside votes.
    """
    if not who.strip() or not who.isprintable() or len(who) > _MAX_NAME_CHARS:
        raise ConfigError(
            "votes need the name of who casts them, printable and short.",
            where=repr(who),
            fix="nabi review invite PERSONA kim",
        )
    until = datetime.now(UTC) + timedelta(days=platform.persona(persona_id).evaluation.people.days)
    invitation = Invitation(persona_id=persona_id, adapter=asked.new, num=num, who=who.strip(), until=until)
    body = _encoded(invitation.model_dump_json().encode())
    return f"{body}.{_encoded(_signature(platform, body))}"


def read_ticket(platform: Platform, ticket: str) -> Invitation:
    """Whom a ticket invites.

    Raises:
        NotInvited: it was not made by this installation, or is too old.
    """
    body, _, signature = ticket.strip().partition(".")
    try:
        signed = hmac.compare_digest(_decoded(signature), _signature(platform, body))
        invitation = Invitation.model_validate_json(_decoded(body)) if signed else None
    except (ValidationError, binascii.Error, UnicodeEncodeError):
        invitation = None
    if invitation is None:
        raise NotInvited("this link was not made here.", fix="Ask whoever sent it for the whole link.")
    if invitation.until < datetime.now(UTC):
        raise NotInvited("the time to vote is over.", fix="Ask whoever sent the link for a new one.")
    return invitation


def _signature(platform: Platform, body: str) -> bytes:
    path = platform.settings.state / "secrets" / "votes.key"
    key = read_or_create(path, secrets.token_bytes(_KEY_BYTES), "the key of the voting links")
    if len(key) < _KEY_BYTES:
        raise ConfigError("the key is too short to be one.", where=str(path), fix="Remove the file for a new one.")
    return hmac.new(key, body.encode(), hashlib.sha256).digest()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
