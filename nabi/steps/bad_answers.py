"""Bad answers: what users disliked and what a person wrote a better answer for, as the next training learns from it."""

from __future__ import annotations

from nabi.curation.bad_answers import disliked_answers, replaced_answers
from nabi.curation.chain import Curated
from nabi.datasets.bad_answers import BadAnswer, bad_answer_from
from nabi.personas.model import Persona
from nabi.wiring import Platform


def bad_answers(platform: Platform, persona: Persona, *curated: Curated) -> list[BadAnswer]:
    """The negative examples beside what was curated; none where the persona's recipe says `preferences: off`.

    Args:
        curated: what was looked at for the persona's window, new and learned before.
    """
    if persona.recipe.preferences is False:
        return []
    kept = [conversation for part in curated for conversation in part.kept]
    refused = [refusal for part in curated for refusal in part.refused]
    released = platform.store.released(persona.id)
    replaced = replaced_answers(platform.store.replaced(persona.id), persona, kept, released)
    disliked = disliked_answers(refused, persona, kept, released)
    return [
        *(bad_answer_from(conversation, better) for conversation, better in replaced),
        *(bad_answer_from(conversation) for conversation in disliked),
    ]
