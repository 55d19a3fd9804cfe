"""Evaluate, gate and compare as the loop calls them: real adapters over the shipped base, a fresh installation."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from nabi.conversations.ingest import ingest_file
from nabi.datasets.files import read_samples, write_lines
from nabi.evaluation.preference import Vote
from nabi.settings import Settings
from nabi.steps import bootstrap, collect, snapshot
from nabi.steps.blind import cast, open_set, result
from nabi.steps.compare import compare
from nabi.steps.conclude import judge, keep
from nabi.steps.evaluate import evaluate_candidate, load_contenders
from nabi.steps.window import Candidate, Snapshot, Window
from nabi.training.progress import no_progress
from nabi.training.recipe import Recipe
from nabi.training.train import TrainingJob, train_adapter
from nabi.wiring import Platform

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime.fromisoformat("2026-07-01T12:00+09:00")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    home = tmp_path_factory.mktemp("home")
    (home / "sample_data.xlsx").symlink_to(ROOT / "sample_data.xlsx")
    declared = yaml.safe_load((ROOT / "personas" / "nabiyam.yaml").read_text())
    declared["bootstrap"]["target"], declared["evaluation"] = 60, {"anchors": 12, "min_prompts": 10, "max_seconds": 60}
    (home / "personas").mkdir()
    (home / "personas" / "nabiyam.yaml").write_text(yaml.safe_dump(declared, allow_unicode=True))
    made = Platform(Settings(home=home, models_dir=ROOT / "models", threads=1))
    ingest_file(ROOT / "examples" / "logs" / "window-1.jsonl", "chat", made.store, None, b"k" * 32)
    return made


@pytest.fixture(scope="module")
def taken(platform: Platform) -> Snapshot:
    window = Window(persona_id="nabiyam", as_of=AS_OF)
    assert collect.open_window(platform, window) is None
    kept = collect.keep_usable(platform, collect.collect(platform, window))
    return snapshot.take_snapshot(platform, bootstrap.fill_up(platform, kept))


def trained(platform: Platform, taken: Snapshot, num: int, seed: int) -> Candidate:
    """A candidate that learned from the first `num` samples of the dataset."""
    data = platform.datasets.checkout(taken.version, "nabiyam")
    train = platform.settings.state / f"train-{seed}.jsonl"
    train.write_bytes(write_lines(read_samples(data / "train.jsonl")[:num]))
    persona = platform.persona("nabiyam")
    result = train_adapter(
        TrainingJob(
            persona_id=persona.id,
            system_prompt=persona.system_prompt,
            uses_facts=True,
            base_model="tiny-ko",
            models_dir=ROOT / "models",
            train_file=train,
            holdout_file=data / "anchors.jsonl",
            recipe=Recipe(r=8, alpha=16, epochs=1, learning_rate=5e-3, batch_size=16, dropout=0.0),
            seed=seed,
            out_dir=platform.registry.candidate_folder(persona.id, f"test-{seed}"),
            dataset_version=taken.version,
            dataset_digest=taken.digest,
            commit="c" * 40,
            threads=1,
        ),
        no_progress,
    )
    version = platform.registry.register(
        persona.id, taken.run_id, result.adapter_dir, result.digest, tags={"dataset_version": taken.version}
    )
    return Candidate(
        window=taken.window,
        snapshot=taken,
        adapter=version.name,
        digest=result.digest,
        train_loss=result.train_loss,
        holdout_loss=result.holdout_loss,
        seconds=result.seconds,
    )


def test_a_candidate_is_measured_judged_and_its_report_left_where_people_look(
    platform: Platform, taken: Snapshot
) -> None:
    candidate = trained(platform, taken, 32, 1)
    scored = evaluate_candidate(platform, candidate)
    contenders = load_contenders(scored.scores)
    assert list(contenders) == ["base", candidate.adapter]
    assert len(contenders["base"].probes) == len(contenders[candidate.adapter].probes) == 22
    judged = judge(platform, scored)
    figures = platform.tracker.run_metrics(taken.run_id)
    assert figures["gate/gain"] == pytest.approx(judged.gain)
    assert figures["gate/lower"] < figures["gate/gain"] < figures["gate/upper"]
    assert figures["gate/looks"] == 1
    assert "gate/older/anchor/gain" in figures
    folder = platform.settings.mlruns / "nabiyam" / taken.run_id / "artifacts" / "evaluation"
    report = (folder / "gate.md").read_text()
    assert judged.sentence in report
    assert "![gain](gain.png)" in report
    assert {"gain.png", "comparison.png", "scores.json"} <= {path.name for path in folder.iterdir()}
    keep(platform, judged)
    assert platform.journal.gates_before("nabiyam", AS_OF.replace(day=2), 7) == 1

    asked = open_set(platform, "nabiyam", "v1", 20)
    assert (asked.old, asked.new) == ("base", "nabiyam--v1")
    for pair in asked.pairs:
        choice = pair.choice_of("left" if pair.new_is_left else "right")
        cast(platform, asked, Vote(sample_id=pair.sample_id, who="kim", choice=choice, at=AS_OF))
    assert result(platform, asked).share == 1
    assert platform.tracker.run_metrics(taken.run_id)["ab/share"] == 1

    other = trained(platform, taken, 16, 2)
    compared = compare(platform, "nabiyam", "v1", other.adapter)
    assert compared.sentence.startswith(("would keep: ", "would deploy "))
    assert set(compared.contenders) == {"base", candidate.adapter, other.adapter}
    assert compared.sentence in compared.report.read_text()
    assert json.loads(scored.scores.read_text())["base"]["name"] == "base"
