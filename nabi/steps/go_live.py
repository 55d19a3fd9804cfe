"""By hand, past the gate: promote, try on a share of the sessions, roll back. The ledger changes first and at once.

MLflow only mirrors the ledger for people, so that it may be slow or away without delaying a rollback.
"""

from __future__ import annotations

import logging

from nabi.errors import ConfigError, NabiError
from nabi.registry.ledger import Live
from nabi.registry.rollouts import Outcome, Rollout
from nabi.registry.version_names import parse_version_name
from nabi.wiring import Platform

logger = logging.getLogger(__name__)


def roll_back(platform: Platform, persona_id: str, *, who: str, why: str) -> str:
    """Undoes the newest change: ends the trial of a candidate, or else puts the previous champion back.

    Returns:
        What happened, in one sentence.

    Raises:
        ConfigError: there is no such persona, or nothing to go back to.
    """
    platform.persona(persona_id)
    ended = platform.rollouts.end(persona_id, "stopped", who=who, why=why)
    if ended is not None:
        return f"{ended.candidate} answers no session of {persona_id} any more."
    live = platform.ledger.rollback(persona_id, who=who, why=why)
    return f"{live.champion} is live; the way back to {live.previous} is the same command."


def promote(platform: Platform, version: str, *, who: str, why: str) -> Live:
    """Makes a version live, and ends the persona's trial.

    Raises:
        ConfigError: there is no such version, or it is barred.
    """
    known = platform.registry.version(version)
    platform.registry.folder_of(known)  # a champion that cannot be loaded must fail here, not in front of a user
    live = platform.ledger.promote(known.persona_id, known.name, known.digest, who=who, why=why)
    trial = platform.rollouts.running(known.persona_id)
    if trial is not None:
        outcome: Outcome = "promoted" if trial.candidate == live.champion else "stopped"
        platform.rollouts.end(known.persona_id, outcome, who=who, why=why, only_of=trial.candidate)
    return live


def try_out(
    platform: Platform, persona_id: str, share: int | None, *, candidate: str | None = None, who: str, why: str
) -> Rollout:
    """Lets a candidate answer `share` percent of the sessions.

    Args:
        share: None begins with the first step of the persona's plan, which then goes on by itself.
        candidate: an adapter version; None for the one that is on trial, or else the newest.

    Raises:
        ConfigError: there is no such version, it is live or barred, or another one is on trial.
    """
    persona = platform.persona(persona_id)
    plan = persona.rollout if share is None else None
    running = platform.rollouts.running(persona_id)
    if candidate is None and running is not None:
        candidate = running.candidate
    if candidate is None:
        versions = [
            version for version in platform.registry.versions(persona_id) if not (version.replayed or version.removed)
        ]
        if not versions:
            raise ConfigError(f"{persona_id} has no adapter to try.", fix=f"Train one: nabi run --persona {persona_id}")
        candidate = versions[-1].name
    if parse_version_name(candidate)[0] != persona_id:
        raise ConfigError(f"{candidate} is no version of {persona_id}.", where="--candidate")
    known = platform.registry.version(candidate)
    platform.registry.folder_of(known)
    begin = persona.rollout.shares[0] if share is None else share
    return platform.rollouts.start(persona_id, known.name, known.digest, begin, who=who, why=why, plan=plan)


def mirror(platform: Platform, persona_id: str) -> None:
    """Brings MLflow's aliases and stages in line; when it is away, the next change does."""
    try:
        platform.registry.mirror(persona_id)
    except NabiError as error:
        logger.warning("MLflow's stages of %s are behind the ledger: %s", persona_id, error)
