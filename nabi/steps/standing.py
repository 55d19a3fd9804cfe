"""How a persona stands: what answers, what it can go back to, what is on trial, and how each of them does."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from nabi.conversations.records import Frozen, Moment
from nabi.errors import ConfigError
from nabi.personas.model import Limits
from nabi.registry.journal import State
from nabi.registry.progress import Progress
from nabi.registry.regression import Measured
from nabi.registry.rollouts import Rollout
from nabi.steps.watch import NUM_REFERENCE
from nabi.wiring import Platform

NUM_CHANGES = 20

_ORDER = ("champion", "candidate", "previous")


class Trial(Frozen):
    """A candidate's share of the sessions, in percent; `planned`: it grows by itself."""

    candidate: str
    share: int
    since: Moment
    planned: bool


class Doing(Frozen):
    """A pass under way: its window, its stage, how far it is in percent, and the newest line about it."""

    window: Moment
    stage: str
    percent: float
    told: str
    at: Moment


class Standing(Frozen):
    """What is live for a persona.

    Attributes:
        champion: the live version; None while the bare base answers.
        tainted: the live version learned from words that were deleted since; it is to be trained anew.
        previous: what a rollback puts back. `barred`: why that must not be live again.
        new_samples: conversations that nothing was learned from yet; `needed` of them start a training.
        window: the end of the newest one; `timezone` is the persona's.
        outcome: what became of it; `running` also where it waits or was killed. `gain`: the relative gain that its gate
            measured, 0.08 for 8 %; None where no candidate was measured.
        last_window: what it ended with, in words, or what is wrong with the persona's file; `failed`: whether it did,
            or something is.
        doing: the pass that is under way.
    """

    persona: str
    name: str
    base: str
    champion: str | None
    tainted: bool
    since: Moment | None
    previous: str | None
    barred: str | None
    trial: Trial | None
    new_samples: int
    needed: int | None
    timezone: str
    window: Moment | None
    outcome: State | None
    gain: float | None
    last_window: str | None
    failed: bool
    doing: Doing | None


class Measures(Frozen):
    """The newest answers of a version, at most `NUM_REFERENCE`: shares in [0, 1], medians in seconds and characters."""

    version: str
    role: str
    num_answers: int
    broke_a_rule: float | None = None
    seconds: float | None = None
    slow_seconds: float | None = None
    num_chars: float | None = None
    liked: int = 0
    disliked: int = 0


class Change(Frozen):
    """One change of what answers.

    Attributes:
        version: what is live from then on; of a trial, its candidate.
        previous: what a rollback puts back after it; None for trials.
        share: of the sessions, in percent, while it is on trial.
    """

    at: Moment
    action: Literal["deploy", "rollback", "promote", "trial", "trial_stopped"]
    version: str
    previous: str | None = None
    share: int | None = None
    who: str
    why: str


class Details(Standing):
    """The same, with what is measured of each version and the newest changes, newest first."""

    measures: tuple[Measures, ...]
    changes: tuple[Change, ...]


def standings(platform: Platform) -> list[Standing]:
    """Every persona, in the order of their ids."""
    trials, now = platform.rollouts.all_running(), datetime.now(UTC)
    return [_standing(platform, persona_id, trials.get(persona_id), now) for persona_id in platform.persona_ids()]


def details(platform: Platform, persona_id: str) -> Details:
    """One persona.

    Raises:
        ConfigError: there is none of that id.
    """
    if persona_id not in platform.persona_ids():
        platform.persona(persona_id)  # says so, and who is meant perhaps
    stands = _standing(platform, persona_id, platform.rollouts.running(persona_id), datetime.now(UTC))
    # The version before may be on trial again; it is shown once.
    roles = {stands.previous: "previous", stands.champion: "champion"}
    if stands.trial is not None:
        roles[stands.trial.candidate] = "candidate"
    return Details(
        **dict(stands),
        measures=tuple(
            _measures(platform.answers.measured(persona_id, version, num=NUM_REFERENCE), version, role)
            for version, role in sorted(roles.items(), key=lambda pair: _ORDER.index(pair[1]))
            if version is not None
        ),
        changes=tuple(reversed(changes(platform, persona_id)[-NUM_CHANGES:])),
    )


def changes(platform: Platform, persona_id: str) -> list[Change]:
    """Everything that was ever live or on trial, oldest first. A trial that went live is told by the promotion."""
    live = [
        Change(
            at=entry.at,
            action=entry.action,
            version=entry.champion,
            previous=entry.previous,
            who=entry.who,
            why=entry.why,
        )
        for entry in platform.ledger.history(persona_id)
    ]
    trials = [
        Change(
            at=change.at,
            action="trial" if change.state == "running" else "trial_stopped",
            version=change.candidate,
            share=change.share if change.state == "running" else None,
            who=change.who,
            why=change.why,
        )
        for change in platform.rollouts.history(persona_id)
        if change.state != "promoted"
    ]
    return sorted([*live, *trials], key=lambda change: change.at)


def _standing(platform: Platform, persona_id: str, trial: Rollout | None, now: datetime) -> Standing:
    declared = platform.declared(persona_id)
    persona, problem = (None, str(declared)) if isinstance(declared, ConfigError) else (declared, None)
    live = platform.ledger.live(persona_id)
    newest = platform.journal.latest(persona_id, num=1)
    limits = persona.limits if persona else Limits()
    tainted = {retirement.adapter_version for retirement in platform.lineage.retirements(persona_id)}
    return Standing(
        persona=persona_id,
        name=persona.name if persona else persona_id,
        base=(persona and persona.base_model) or platform.settings.base_model,
        champion=live.champion if live else None,
        tainted=live is not None and live.champion in tainted,
        since=live.since if live else None,
        previous=live.previous if live else None,
        barred=platform.rollouts.why_barred(live.previous) if live and live.previous else None,
        trial=_trial(trial) if trial else None,
        new_samples=platform.store.counts(persona_id, now).num_unlearned,
        needed=persona.limits.min_new_samples if persona else None,
        timezone=limits.timezone,
        window=newest[0].as_of if newest else None,
        outcome=newest[0].state if newest else None,
        gain=newest[0].figures.get("gain") if newest else None,
        last_window=problem or (newest[0].sentence or newest[0].state if newest else None),
        failed=problem is not None or (bool(newest) and newest[0].state == "failed"),
        doing=_doing(platform.progress.of(persona_id)),
    )


def _doing(progress: Progress | None) -> Doing | None:
    if progress is None:
        return None
    return Doing(
        window=progress.as_of, stage=progress.stage, percent=progress.percent, told=progress.told, at=progress.at
    )


def _trial(rollout: Rollout) -> Trial:
    return Trial(
        candidate=rollout.candidate, share=rollout.share, since=rollout.since, planned=rollout.plan is not None
    )


def _measures(answers: Sequence[Measured], version: str, role: str) -> Measures:
    if not answers:
        return Measures(version=version, role=role, num_answers=0)
    seconds = sorted(answer.seconds for answer in answers)
    reactions = [answer.reaction for answer in answers if answer.reaction is not None]
    return Measures(
        version=version,
        role=role,
        num_answers=len(answers),
        broke_a_rule=sum(answer.broke_a_rule for answer in answers) / len(answers),
        seconds=statistics.median(seconds),
        slow_seconds=seconds[int(0.95 * (len(seconds) - 1))],
        num_chars=statistics.median(answer.num_chars for answer in answers),
        liked=sum(reaction > 0 for reaction in reactions),
        disliked=sum(reaction < 0 for reaction in reactions),
    )
