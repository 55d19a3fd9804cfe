"""Whose a row is: the persona that a row names by its id, its agent type, or the speaker whose words it holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from nabi.conversations.sources.fields import Fields, RowError, identifier, name, shown
from nabi.conversations.sources.rows import NO_PERSONA, OTHER_PERSONA, Delivery
from nabi.personas.model import Persona

# The rule of `nabi.personas.model.Persona.id`; ids become folder names.
_PERSONA_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_PERSONA_ID_CHARS = 48


def owner_by_id(row: Fields, delivery: Delivery) -> str | None:
    """The persona that `persona_id` or `character_id` names; None when the row has neither."""
    named = {field: row[field] for field in ("persona_id", "character_id") if row.get(field) is not None}
    for field, value in named.items():
        if not isinstance(value, str) or len(value) > _MAX_PERSONA_ID_CHARS or not _PERSONA_ID.fullmatch(value):
            raise RowError(field, "a persona's id is small letters, digits and single hyphens, at most 48")
        _hold_to(value, field, delivery)
    if len(set(named.values())) > 1:
        raise RowError("character_id", "persona_id and character_id name two personas")
    return next(iter(named.values()), None)


def owner_by_agent(row: Fields, delivery: Delivery) -> str | None:
    """The agent that `agent_type` names: citizen_support is the persona citizen-support."""
    agent = name(row, "agent_type")
    if agent is None:
        return None
    agents = sorted(persona.id for persona in delivery.personas.values() if persona.source == "agents")
    persona_id = agent.casefold().replace("_", "-").replace(" ", "-")
    if persona_id not in agents:
        known = ", ".join(found.replace("-", "_") for found in agents) or "none"
        raise RowError("agent_type", f"there is no agent {shown(agent)}; known are: {known}", NO_PERSONA)
    _hold_to(persona_id, "agent_type", delivery)
    return persona_id


def owner_by_speaker(row: Fields, delivery: Delivery) -> str | None:
    """The persona whose speaker `speaker_id` and `speaker_name` name; None when the row has neither."""
    speaker_id, speaker_name = identifier(row, "speaker_id"), name(row, "speaker_name")
    if speaker_id is None and speaker_name is None:
        return None
    return owner_of_speaker(speaker_id, speaker_name, delivery)


def owner_of_speaker(speaker_id: str | None, speaker_name: str | None, delivery: Delivery) -> str:
    """The persona that declares this speaker, held to the caller's; see `persona_of_speaker`."""
    persona_id = persona_of_speaker(speaker_id, speaker_name, delivery.personas).id
    _hold_to(persona_id, "speaker", delivery)
    return persona_id


def owner(row: Fields, delivery: Delivery) -> str:
    """The one persona that all of a row's names, or else the caller, say."""
    named = {
        field: found
        for field, found in (
            ("persona_id", owner_by_id(row, delivery)),
            ("agent_type", owner_by_agent(row, delivery)),
            ("speaker_id", owner_by_speaker(row, delivery)),
        )
        if found is not None
    }
    if len(set(named.values())) > 1:
        said = " and ".join(f"{field} says {found}" for field, found in named.items())
        raise RowError(next(reversed(named)), f"the row names two personas: {said}")
    return next(iter(named.values()), None) or owner_of_unnamed(delivery)


def owner_of_unnamed(delivery: Delivery) -> str:
    """The caller's persona, for a row that names none."""
    if delivery.persona_id is None:
        raise RowError("persona_id", "the row does not say whose it is")
    return delivery.persona_id


def persona_of_speaker(speaker_id: str | None, speaker_name: str | None, personas: Mapping[str, Persona]) -> Persona:
    """The persona that declares this speaker.

    Raises:
        RowError: none does, two do, or the id is declared for somebody of another name: transcription tools
            count speakers anew in each meeting, and a persona must never learn from somebody else's words.
    """
    found = {p.id: p for p in personas.values() if _has_id(p, speaker_id) or _has_name(p, speaker_name)}
    called = shown(speaker_name or speaker_id)
    if not found:
        raise RowError("speaker", f"no persona declares the speaker {called}", NO_PERSONA)
    if len(found) > 1:
        raise RowError("speaker", f"the speaker {called} is declared by {' and '.join(sorted(found))}", NO_PERSONA)
    persona = next(iter(found.values()))
    if persona.speaker and speaker_name and persona.speaker.names and not _has_name(persona, speaker_name):
        declared = f"{persona.id} declares {shown(speaker_id)} as {persona.speaker.names[0]}"
        raise RowError("speaker", f"{declared}, and here it is {called}", NO_PERSONA)
    return persona


def same_name(one: str, other: str) -> bool:
    """True when two spellings differ in case, blanks or composition only."""
    return _plain(one) == _plain(other)


def _has_id(persona: Persona, speaker_id: str | None) -> bool:
    return bool(persona.speaker and speaker_id is not None and persona.speaker.id == speaker_id)


def _has_name(persona: Persona, speaker_name: str | None) -> bool:
    names = persona.speaker.names if persona.speaker else ()
    return speaker_name is not None and any(same_name(speaker_name, known) for known in names)


def _plain(spelling: str) -> str:
    return " ".join(unicodedata.normalize("NFC", spelling).casefold().split())


def _hold_to(persona_id: str, field: str, delivery: Delivery) -> None:
    if delivery.persona_id is not None and persona_id != delivery.persona_id:
        raise RowError(field, f"the row belongs to {persona_id}, not to {delivery.persona_id}", OTHER_PERSONA)
    if delivery.personas and persona_id not in delivery.personas:
        raise RowError(field, f"there is no persona {persona_id}", NO_PERSONA)
