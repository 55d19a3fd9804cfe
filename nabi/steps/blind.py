"""Blind A/B votes of people on two adapters of a persona, kept beside the evaluation they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nabi.datasets.files import read_samples
from nabi.datasets.samples import Sample
from nabi.errors import ConfigError
from nabi.evaluation.gate import Contender
from nabi.evaluation.judge import Agreement, agreement
from nabi.evaluation.preference import Pair, Preference, Vote, blind_pairs, preference
from nabi.steps.evaluate import BASE, load_contenders
from nabi.steps.guard import uses_words
from nabi.wiring import Platform

VOTES, JUDGED = "votes.jsonl", "judge.jsonl"
"""Beside the scores of an evaluation: people's votes, and a judge's settled words in the same form."""


@dataclass(frozen=True)
class BlindSet:
    """What is asked, and where the votes go.

    Attributes:
        samples: what was asked, by sample id: the turns so far and the facts that both had.
        run_id: the MLflow run that made the new adapter.
    """

    old: str
    new: str
    pairs: list[Pair]
    samples: Mapping[str, Sample]
    votes_file: Path
    run_id: str


@uses_words
def open_set(platform: Platform, persona_id: str, adapter: str | None, num: int) -> BlindSet:
    """The blind set of an evaluated adapter against what it was judged against.

    Args:
        adapter: a version such as `nabiyam--v3` or `v3`; None for the newest one that was evaluated.
        num: prompts at most.

    Raises:
        ConfigError: no such version or evaluation, or the two say the same everywhere.
    """
    platform.persona(persona_id)
    folder = evaluations_of(platform, persona_id)
    evaluated = [version for version in platform.registry.versions(persona_id) if (folder / version.name).is_dir()]
    wanted = platform.registry.version_called(persona_id, adapter).name if adapter else None
    found = [version for version in evaluated if wanted in (None, version.name)]
    if not found:
        raise ConfigError(
            "no evaluation of it lies here.",
            where=wanted or persona_id,
            fix=f"Evaluated are: {', '.join(version.name for version in evaluated) or 'none; run the loop first'}.",
        )
    newest = found[-1]
    contenders = load_contenders(folder / newest.name / "scores.json")
    old = opponent_in(contenders, newest.name)
    pairs = blind_pairs(contenders[old], contenders[newest.name], num)
    if not pairs:
        raise ConfigError(
            "both say the same to every prompt.", where=f"{old} and {newest.name}", fix="There is nothing to vote on."
        )
    samples = samples_of(platform, persona_id, newest.dataset_version)
    # What is in the scores and in no dataset is being deleted.
    left = [pair for pair in pairs if pair.sample_id in samples]
    return BlindSet(old, newest.name, left, samples, folder / newest.name / VOTES, newest.run_id)


def samples_of(platform: Platform, persona_id: str, dataset_version: str) -> dict[str, Sample]:
    """All that an adapter of a dataset version can have been measured on, by sample id."""
    data = platform.datasets.checkout(dataset_version, persona_id)
    files = (data / "anchors.jsonl", data / "holdout.jsonl")
    return {sample.sample_id: sample for file in files for sample in read_samples(file)}


def evaluations_of(platform: Platform, persona_id: str) -> Path:
    """Where a persona's evaluations lie, a folder for each adapter version."""
    return platform.settings.state / "evaluations" / persona_id


def cast(platform: Platform, asked: BlindSet, vote: Vote) -> None:
    """Keeps one vote. Votes are appended, never changed."""
    with asked.votes_file.open("a", encoding="utf-8") as file:
        file.write(vote.model_dump_json() + "\n")


def result(platform: Platform, asked: BlindSet) -> Preference:
    """What all votes so far say, also in MLflow, where it stands beside how far a judge agrees."""
    found = preference(read_votes(asked.votes_file))
    agreed = agreement(read_votes(asked.votes_file), read_votes(asked.votes_file.with_name(JUDGED)))
    platform.tracker.log_metrics(asked.run_id, found.figures() | agreed.figures())
    return found


def agreement_so_far(platform: Platform, persona_id: str) -> Agreement:
    """How often people and the judge decided alike on everything of this persona that both were asked about."""
    people: list[Vote] = []
    judge: list[Vote] = []
    for words in sorted(evaluations_of(platform, persona_id).glob(f"*/{JUDGED}")):
        # The same sample stands in the evaluations of many versions, with other answers each time.
        people += [_within(words.parent.name, vote) for vote in read_votes(words.with_name(VOTES))]
        judge += [_within(words.parent.name, vote) for vote in read_votes(words)]
    return agreement(people, judge)


def _within(evaluation: str, vote: Vote) -> Vote:
    return vote.model_copy(update={"sample_id": f"{evaluation}/{vote.sample_id}"})


def read_votes(path: Path) -> list[Vote]:
    """All votes on one adapter, oldest first; none where nobody voted."""
    if not path.is_file():
        return []
    return [Vote.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def opponent_in(contenders: Mapping[str, Contender], new: str) -> str:
    """Whom the gate compared it with: the champion of that run, the base where there was none."""
    others = [name for name in contenders if name != new]
    return next((name for name in others if name != BASE), BASE)
