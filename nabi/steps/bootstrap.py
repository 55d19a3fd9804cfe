"""Bootstrap: as many catalogue dialogues as the logs lack, and whether there is enough to train at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from pydantic import TypeAdapter

from nabi.catalogue.dialogues import make_dialogues
from nabi.catalogue.model import Catalogue
from nabi.catalogue.workbook import reader_code
from nabi.conversations.records import Conversation
from nabi.datasets.snapshot import bootstrap_needed
from nabi.kept import KeptResults
from nabi.personas.model import Bootstrap, Persona
from nabi.registry.rollouts import on_trial
from nabi.steps.past import past_of
from nabi.steps.window import Filled, Kept
from nabi.wiring import Platform


def fill_up(platform: Platform, kept: Kept) -> Filled:
    """Counts the catalogue dialogues that this window needs, and those of them the champion has not seen."""
    persona = platform.persona(kept.window.persona_id)
    target = persona.bootstrap.target if persona.bootstrap else 0
    needed = bootstrap_needed(kept.num_new + kept.num_learned, target)
    # Fewer dialogues are always a part of more (see `build_snapshot`), so counting tells which are new.
    learned = past_of(platform, kept.window).learned_by
    seen = sum(dialogue.conversation_id in learned for dialogue in bootstrap_pool(platform, persona))
    return Filled(
        window=kept.window,
        num_new_logs=kept.num_new,
        num_learned_logs=kept.num_learned,
        num_bootstrap=needed,
        num_new_bootstrap=max(0, needed - seen),
    )


def bootstrap_pool(platform: Platform, persona: Persona) -> list[Conversation]:
    """The catalogue dialogues to choose from, always the same: enough for the anchors and for empty logs."""
    catalogue = platform.catalogue(persona)
    if catalogue is None or persona.bootstrap is None:
        return []
    return list(
        _pool(
            _Wanted(
                catalogue_digest=catalogue.source_digest,
                persona_id=persona.id,
                num=persona.bootstrap.target + persona.evaluation.anchors,
                seed=platform.settings.seed,
                bootstrap=persona.bootstrap,
                catalogue=catalogue,
                kept=platform.kept,
            )
        )
    )


@dataclass(frozen=True)
class _Wanted:
    """What the dialogues follow from; two catalogues of the same bytes are equal."""

    catalogue_digest: str
    persona_id: str
    num: int
    seed: int
    bootstrap: Bootstrap
    catalogue: Catalogue = field(compare=False)
    kept: KeptResults = field(compare=False)


@lru_cache(maxsize=16)  # one a persona; every step of a pass asks for the same one
def _pool(wanted: _Wanted) -> tuple[Conversation, ...]:
    asked = wanted.bootstrap

    def make() -> tuple[Conversation, ...]:
        catalogue, limit = wanted.catalogue, asked.daily_limit
        made = make_dialogues(catalogue, wanted.persona_id, wanted.num, wanted.seed, limit, refused=asked.refused)
        return tuple(made)

    made_from = ("dialogues", wanted.catalogue_digest, wanted.persona_id, wanted.num, wanted.seed, asked, reader_code())
    return wanted.kept.get(made_from, TypeAdapter(tuple[Conversation, ...]), make)


def why_not_train(platform: Platform, filled: Filled) -> str | None:
    """The sentence that says why this window trains nothing; None when it should train."""
    window = filled.window
    trial = platform.rollouts.running(window.persona_id)
    if trial is not None and not window.replayed:
        return f"skipped: {on_trial(trial)}, so no other candidate starts"
    limits = platform.persona(window.persona_id).limits
    if filled.num_new < limits.min_new_samples:
        return f"skipped: {filled.num_new} of {limits.min_new_samples} new samples"
    journal = platform.journal
    count = journal.other_replays_on_day if window.replayed else journal.other_trainings_on_day
    trained = count(window.persona_id, window.as_of, limits.timezone)
    if trained >= limits.max_trainings_per_day:
        return f"skipped: {trained} trainings today already, the limit is {limits.max_trainings_per_day}"
    return None
