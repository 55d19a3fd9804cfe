"""Blind A/B votes of people on two adapters of a persona, kept beside the evaluation they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nabi.datasets.files import read_samples
from nabi.datasets.samples import Sample
from nabi.errors import ConfigError
from nabi.evaluation.gate import Contender
from nabi.evaluation.preference import Pair, Preference, Vote, blind_pairs, preference
from nabi.registry.adapters import AdapterVersion
from nabi.steps.evaluate import BASE, load_contenders
from nabi.steps.guard import uses_words
from nabi.wiring import Platform


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
    samples = _samples_of(platform, newest)
    # What is in the scores and in no dataset is being deleted.
    left = [pair for pair in pairs if pair.sample_id in samples]
    return BlindSet(old, newest.name, left, samples, folder / newest.name / "votes.jsonl", newest.run_id)


def _samples_of(platform: Platform, adapter: AdapterVersion) -> dict[str, Sample]:
    """All that the adapter can have been measured on, by sample id."""
    data = platform.datasets.checkout(adapter.dataset_version, adapter.persona_id)
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
    """What all votes so far say, also in MLflow."""
    found = preference(read_votes(asked.votes_file))
    platform.tracker.log_metrics(asked.run_id, found.figures())
    return found


def read_votes(path: Path) -> list[Vote]:
    """All votes on one adapter, oldest first; none where nobody voted."""
    if not path.is_file():
        return []
    return [Vote.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def opponent_in(contenders: Mapping[str, Contender], new: str) -> str:
    """Whom the gate compared it with: the champion of that run, the base where there was none."""
    others = [name for name in contenders if name != new]
    return next((name for name in others if name != BASE), BASE)
