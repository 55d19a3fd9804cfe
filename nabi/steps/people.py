"""What people say, blind, about a candidate that the gate would deploy: the last word where a persona asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nabi.evaluation.preference import Preference, blind_pairs, objection, preference, votes_needed
from nabi.personas.model import Persona
from nabi.steps.blind import VOTES, evaluations_of, opponent_in, read_votes
from nabi.steps.evaluate import load_contenders
from nabi.steps.guard import uses_words
from nabi.steps.past import past_of
from nabi.steps.window import Judged
from nabi.wiring import Platform

_WHILE_ASKED = timedelta(minutes=1)
"""A vote that came while a run looked and was about to be suspended must wake it too."""


@uses_words
def ask_people(platform: Platform, judged: Judged, *, can_wait: bool) -> Judged:
    """The verdict with people's votes in it: it stands, is kept, or awaits more votes (`Judged.awaits`).

    Only what the gate would deploy is asked about, and nothing in a replay, where nothing goes live.

    Args:
        can_wait: whether somebody goes on with the run later; a run that was started by hand has nobody.
    """
    candidate = judged.candidate
    persona = platform.persona(candidate.window.persona_id)
    rules = persona.evaluation.people
    if not (judged.deploy and rules.required) or candidate.window.replayed:
        return judged
    live = past_of(platform, candidate.window).champion
    if live != judged.champion:
        return _kept(judged, f"{live or 'the bare base'} went live while people were asked about {candidate.adapter}")
    scores = evaluations_of(platform, persona.id) / candidate.adapter / "scores.json"
    found, needed = _standing(scores, persona)
    if found.num_votes >= needed:
        platform.tracker.log_metrics(candidate.snapshot.run_id, found.figures())
        why = objection(found, rules)
        return _kept(judged, why) if why else _agreed(judged, found)
    told = f"{found.num_votes} of {needed} people's votes on {candidate.adapter}"
    how = f"nabi review ab {persona.id} --adapter v{candidate.adapter.rsplit('--v', 1)[-1]}"
    if not can_wait:
        return _kept(judged, f"{told}, and nobody waits for more: `{how}`, then `nabi promote`")
    asked_at = datetime.fromtimestamp(scores.stat().st_mtime, UTC)
    if datetime.now(UTC) - asked_at > timedelta(days=rules.days):
        return _kept(judged, f"only {told} within {rules.days:g} days")
    return judged.model_copy(update={"awaits": f"{told}: `{how}`"})


def voted_since(platform: Platform, persona_ids: Iterable[str], since: datetime) -> bool:
    """Whether enough people have voted, the last of them after `since`, on an adapter of one of these personas."""
    for persona_id in persona_ids:
        for votes in evaluations_of(platform, persona_id).glob(f"*/{VOTES}"):
            if datetime.fromtimestamp(votes.stat().st_mtime, UTC) < since - _WHILE_ASKED:
                continue
            found, needed = _standing(votes.with_name("scores.json"), platform.persona(persona_id))
            if found.num_votes >= needed:
                return True
    return False


def _standing(scores: Path, persona: Persona) -> tuple[Preference, int]:
    """What the votes on an evaluated adapter say so far, and how many are needed."""
    contenders = load_contenders(scores)
    new = contenders[scores.parent.name]
    pairs = blind_pairs(contenders[opponent_in(contenders, new.name)], new, persona.evaluation.people.votes)
    return preference(read_votes(scores.with_name(VOTES))), votes_needed(len(pairs), persona.evaluation.people)


def _kept(judged: Judged, why: str) -> Judged:
    sentence = f"kept: {why}; the gate alone would have {judged.sentence}"
    return judged.model_copy(update={"deploy": False, "sentence": sentence})


def _agreed(judged: Judged, found: Preference) -> Judged:
    said = f"{found.share:.0%} of {found.num_votes - found.num_ties} people's votes" if found.share else "people's ties"
    return judged.model_copy(update={"sentence": f"{judged.sentence}; {said} for it"})
