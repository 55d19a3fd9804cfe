"""A training that goes on from the champion: whose weights, which of its samples again, and how it is recorded."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from small_platform import NOON
from taught_platform import taught_platform

from nabi.datasets.files import read_samples
from nabi.steps import bootstrap, collect, snapshot, train
from nabi.steps.reproduce import reproduce
from nabi.steps.train import JOB_RECORD, train_candidate, training_job
from nabi.steps.window import Snapshot, Window
from nabi.training.adapter import WEIGHTS, read_manifest
from nabi.training.progress import no_progress
from nabi.training.train import train_adapter
from nabi.wiring import Platform

PERSONA = "bot"
EARLY, LATE = NOON - timedelta(hours=8), NOON


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Platform]:
    with taught_platform(tmp_path_factory.mktemp("going-on"), PERSONA, empty_mlflow) as made:
        yield made


@pytest.fixture(scope="module")
def champion(platform: Platform) -> tuple[str, Snapshot]:
    """What was trained on the 40 conversations of the earlier window, put live by hand."""
    taken = taken_at(platform, EARLY)
    candidate = train_candidate(platform, taken, None, no_progress)
    platform.registry.deploy(platform.registry.version(candidate.adapter), who="the test", why="to go on from")
    return candidate.adapter, taken


def taken_at(platform: Platform, as_of: datetime) -> Snapshot:
    window = Window(persona_id=PERSONA, as_of=as_of)
    assert collect.open_window(platform, window) is None
    kept = collect.keep_usable(platform, collect.collect(platform, window))
    return snapshot.take_snapshot(platform, bootstrap.fill_up(platform, kept))


def choose(platform: Platform, recipe: str) -> None:
    """Another recipe in the persona's file."""
    path = platform.settings.personas / f"{PERSONA}.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"recipe: {recipe}" if line.startswith("recipe:") else line for line in lines) + "\n")


@pytest.mark.timeout(600)
def test_a_share_of_what_the_champion_knows_is_gone_through_again_beside_all_that_is_new(
    platform: Platform, champion: tuple[str, Snapshot]
) -> None:
    name, before = champion
    choose(platform, "{preset: low-memory, epochs: 1, start: champion, replay_share: 0.25}")
    taken = taken_at(platform, LATE)
    candidate = train_candidate(platform, taken, None, no_progress)
    older = _ids(platform, before)
    train = _ids(platform, taken)
    job = training_job(platform, platform.persona(PERSONA), taken, None)
    resting = set(job.resting)
    assert resting < older & train
    assert 0.5 < len(resting) / len(older & train) < 0.95
    figures = platform.tracker.run_metrics(taken.run_id)
    assert (figures["train/resting"], figures["train/samples"]) == (len(resting), len(train) - len(resting))
    recorded = json.loads(platform.tracker.read_text(taken.run_id, JOB_RECORD))
    assert (recorded["recipe"]["replay_share"], Path(recorded["start_adapter"]).name) == (0.25, name)
    assert not any(sample in json.dumps(recorded) for sample in resting), "ids of rows are no part of a run's record"
    manifest = read_manifest(platform.registry.folder_of(platform.registry.version(candidate.adapter)))
    assert manifest.arguments["start_sha256"] == platform.registry.version(name).digest
    assert reproduce(platform, candidate.adapter, no_progress).equal


def test_all_of_it_is_by_default_and_what_does_not_fit_begins_afresh(
    platform: Platform, champion: tuple[str, Snapshot]
) -> None:
    name, taken = champion
    jobs = {}
    for told, recipe in {
        "all": "{preset: low-memory, epochs: 1, start: champion}",
        "none": "{preset: low-memory, epochs: 1, start: champion, replay_share: 0}",
        "another rank": "{preset: low-memory, epochs: 1, start: champion, replay_share: 0, r: 4}",
        "from the base": "{preset: low-memory, epochs: 1, replay_share: 0}",
    }.items():
        choose(platform, recipe)
        jobs[told] = training_job(platform, platform.persona(PERSONA), taken, None)
    starts = {told: job.start_adapter.name if job.start_adapter else None for told, job in jobs.items()}
    assert starts == {"all": name, "none": name, "another rank": None, "from the base": None}
    assert {told: len(job.resting) for told, job in jobs.items()} == {
        "all": 0,
        "none": len(_ids(platform, taken)),
        "another rank": 0,
        "from the base": 0,
    }


def _ids(platform: Platform, taken: Snapshot) -> set[str]:
    data = platform.datasets.checkout(taken.version, PERSONA)
    return {sample.sample_id for sample in read_samples(data / "train.jsonl")}


def test_what_an_earlier_try_left_in_the_way_is_trained_anew(
    platform: Platform, champion: tuple[str, Snapshot], caplog: pytest.LogCaptureFixture
) -> None:
    """The first try ended between training and registration; meanwhile the code, or the preset, was changed."""
    _, taken = champion
    choose(platform, "{preset: low-memory, epochs: 1}")
    job = training_job(platform, platform.persona(PERSONA), taken, None)
    earlier = train_adapter(job.model_copy(update={"commit": "e" * 40, "seed": job.seed + 1}), no_progress)
    assert earlier.adapter_dir == job.out_dir
    with caplog.at_level(logging.INFO, logger="nabi.progress"):
        candidate = train_candidate(platform, taken, None, no_progress)
    assert "anew, since what was there cannot be taken: commit, arguments" in caplog.text
    assert candidate.digest != earlier.digest
    assert not job.out_dir.exists(), "it was moved to where its version is kept"


def test_a_damaged_adapter_of_an_earlier_try_is_trained_anew(
    platform: Platform, champion: tuple[str, Snapshot], caplog: pytest.LogCaptureFixture
) -> None:
    _, taken = champion
    choose(platform, "{preset: low-memory, epochs: 1}")
    job = training_job(platform, platform.persona(PERSONA), taken, None)
    whole = train_adapter(job, no_progress)
    weights = job.out_dir / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with caplog.at_level(logging.INFO, logger="nabi.progress"):
        candidate = train_candidate(platform, taken, None, no_progress)
    assert "cannot be taken: the file was changed after the training" in caplog.text
    assert candidate.digest == whole.digest


def test_another_try_of_a_pass_may_have_another_recipe_and_its_run_tells_both(
    platform: Platform, champion: tuple[str, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an error's remedy asks for: the rank is lowered, and the batch halved by itself."""
    _, taken = champion
    choose(platform, "{preset: low-memory, epochs: 1, r: 4}")
    monkeypatch.setattr(
        train,
        "train_in_own_process",
        lambda job, report, meanwhile: train_adapter(job.model_copy(update={"rows": 1}), report),
    )
    train_candidate(platform, taken, None, no_progress)
    tags = platform.tracker.run_tags(taken.run_id)
    changed = json.loads(tags["last_try"])
    assert changed["recipe/r"] == "4"
    assert set(changed) == {"recipe/r", "recipe/origins"}
    assert json.loads(platform.tracker.read_text(taken.run_id, JOB_RECORD))["recipe"]["r"] == 4
    assert tags["out_of_memory"] == "2 samples at once did not fit; 1 at once, 2 a step as before"
    assert platform.tracker.run_metrics(taken.run_id)["train/rows"] == 1
    assert (tags["dataset_version"], tags["dataset_digest"]) == (taken.version, taken.digest)
