"""A recorded training is done again from its record, with the shipped base and the real stores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nabi.cli import app
from nabi.conversations.records import Consent, Conversation, Message
from nabi.datasets.snapshot import build_snapshot
from nabi.errors import ConfigError
from nabi.settings import get_settings
from nabi.steps.reproduce import reproduce
from nabi.steps.train import train_candidate
from nabi.steps.window import Candidate, Snapshot, Window
from nabi.training.progress import no_progress
from nabi.wiring import Platform, get_platform

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
PERSONA = "id: bot\nname: bot\nsystem_prompt: 짧게.\nevaluation: {anchors: 10, holdout_share: 0.3}\n"


@contextmanager
def forged_seed(platform: Platform, run_id: str, **recipe: Any) -> Iterator[None]:
    """The recorded seed is changed behind the platform's back: the same machine then gives another adapter."""
    recorded = platform.tracker.read_text(run_id, "training/job.json")
    forged = {**json.loads(recorded), "seed": 5}
    forged["recipe"] |= recipe
    platform.tracker.log_text(run_id, json.dumps(forged), "training/job.json")
    yield
    platform.tracker.log_text(run_id, recorded, "training/job.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[tuple[Platform, Candidate]]:
    """A platform with one trained window."""
    home = tmp_path_factory.mktemp("reproduce")
    (home / "personas").mkdir()
    (home / "personas" / "bot.yaml").write_text(PERSONA)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "NABI_HOME": home,
            "NABI_MODELS_DIR": ROOT / "models",
            "NABI_THREADS": 1,
            "DVC_SITE_CACHE_DIR": home / "dvc",
        }.items():
            patch.setenv(name, str(value))
        get_settings.cache_clear()
        get_platform.cache_clear()
        platform = get_platform()
        platform.settings.state.mkdir(parents=True)
        shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
        yield platform, train_candidate(platform, _snapshot(platform), "low-memory", no_progress)
        get_settings.cache_clear()
        get_platform.cache_clear()


def _snapshot(platform: Platform) -> Snapshot:
    talks = [_conversation(number) for number in range(30)]
    persona = platform.persona("bot")
    version, built = platform.datasets.save(lambda folder: build_snapshot(persona, [], talks, [], datasets_dir=folder))
    window = Window(persona_id="bot", as_of=AS_OF)
    platform.journal.start("bot", AS_OF)
    run_id = platform.tracker.open_run("bot", window.pass_id, {"as_of": AS_OF.isoformat()})
    return Snapshot(
        window=window,
        run_id=run_id,
        version=version,
        digest=built.digest,
        num_train=built.num_train,
        num_holdout=built.num_holdout,
        num_anchors=built.num_anchors,
        num_new=built.num_train,
    )


def _conversation(number: int) -> Conversation:
    return Conversation(
        conversation_id=f"c{number:03}",
        persona_id="bot",
        source="chat",
        occurred_at=AS_OF - timedelta(minutes=number),
        messages=(
            Message(role="user", content=f"{number}번 메뉴 알려줘"),
            Message(role="assistant", content=f"{number}번은 김밥이에요."),
        ),
        user_key="a" * 64,
        consent=Consent(training=True, given_at=AS_OF - timedelta(days=1)),
    )


def test_the_run_records_all_that_a_repetition_needs(trained: tuple[Platform, Candidate]) -> None:
    platform, candidate = trained
    tags = platform.tracker.run_tags(candidate.snapshot.run_id)
    assert tags["base_revision"] == platform.base(platform.persona("bot")).revision
    for name in ("commit", "code_dirty", "lock_sha256", "tokenizer_sha256", "precision"):
        assert tags[name], name
    assert json.loads(tags["hardware"])["device"] == "cpu"
    assert tags["together"] == "1"
    assert "torch" in json.loads(tags["libraries"])
    job = json.loads(platform.tracker.read_text(candidate.snapshot.run_id, "training/job.json"))
    assert (job["seed"], job["dataset_version"]) == (platform.settings.seed, candidate.snapshot.version)
    assert job["recipe"]["origins"]["epochs"]


def test_the_command_repeats_a_run_and_finds_the_same_bits(trained: tuple[Platform, Candidate]) -> None:
    platform, candidate = trained
    done = CliRunner().invoke(app, ["reproduce", candidate.snapshot.run_id, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["equal"], told["digest_now"], told["adapter"]) == (True, candidate.digest, candidate.adapter)
    assert told["largest_difference"] == 0
    assert list(platform.settings.state.glob("reproduction-*")) == []


def test_an_adapter_that_came_from_something_else_fails_the_command_with_figures(
    trained: tuple[Platform, Candidate],
) -> None:
    platform, candidate = trained
    with forged_seed(platform, candidate.snapshot.run_id):
        done = CliRunner().invoke(app, ["reproduce", candidate.adapter])
    assert done.exit_code == 1
    assert "came out different: weights by" in " ".join(done.output.split())


def test_an_adapter_that_shared_its_batches_is_not_expected_to_the_bit(trained: tuple[Platform, Candidate]) -> None:
    """It is repeated alone, and sums are rounded otherwise in company; any other bits stand for that."""
    platform, candidate = trained
    run_id = candidate.snapshot.run_id
    platform.tracker.log_tags(run_id, {"together": "3"})
    with forged_seed(platform, run_id):
        done = CliRunner().invoke(app, ["reproduce", candidate.adapter])
    platform.tracker.log_tags(run_id, {"together": "1"})
    assert done.exit_code == 0, done.output
    assert "what differs around it: together" in " ".join(done.output.split())


def test_a_base_that_is_held_otherwise_than_then_is_named_and_not_expected_to_the_bit(
    trained: tuple[Platform, Candidate],
) -> None:
    """A GPU may have less free memory than then; on a CPU the recipe stands for that."""
    platform, candidate = trained
    with forged_seed(platform, candidate.snapshot.run_id, four_bit=True):
        done = CliRunner().invoke(app, ["reproduce", candidate.adapter])
    assert done.exit_code == 0, done.output
    assert "what differs around it: libraries, four_bit" in " ".join(done.output.split())


def test_what_names_no_training_is_refused(trained: tuple[Platform, Candidate]) -> None:
    platform, _ = trained
    other = platform.tracker.open_run("bot", "bot@other", {})
    with pytest.raises(ConfigError, match="trained no adapter"):
        reproduce(platform, other, no_progress)
    with pytest.raises(ConfigError, match="no run of this window"):
        reproduce(platform, "bot@2020-01-01T00:00Z", no_progress)
    with pytest.raises(ConfigError, match="is no time"):
        reproduce(platform, "bot@yesterday", no_progress)


def test_a_version_whose_files_were_removed_is_still_trained_again(trained: tuple[Platform, Candidate]) -> None:
    """The last test: it takes the weights away."""
    platform, candidate = trained
    version = platform.registry.version(candidate.adapter)
    assert platform.removals.begin("bot", {version.name: "nobody needs it"}) == [version.name]
    platform.registry.remove_files(version, why="nobody needs it")
    same = reproduce(platform, candidate.adapter, no_progress)
    assert (same.equal, same.digest_now, same.largest_difference) == (True, candidate.digest, 0.0)
    with forged_seed(platform, candidate.snapshot.run_id):
        other = reproduce(platform, candidate.adapter, no_progress)
    assert other.largest_difference is None
    assert "its weights of then were removed" in other.sentence
    assert list(platform.settings.state.glob("reproduction-*")) == []
