"""An answer marked bad, followed all the way: dataset, journal, training, MLflow, reproduction and deletion."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from minute_base import build_tiny_base
from typer.testing import CliRunner

from nabi.cli import app
from nabi.conversations.records import Consent, Conversation, Message
from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.files import read_rows
from nabi.datasets.split import part_of
from nabi.settings import get_settings
from nabi.steps import bootstrap, collect
from nabi.steps.lineage import trace
from nabi.steps.reproduce import reproduce
from nabi.steps.snapshot import take_snapshot
from nabi.steps.train import train_candidate
from nabi.steps.window import Candidate, Window
from nabi.training.progress import no_progress
from nabi.wiring import Platform, get_platform

AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
PERSONA = """\
id: bot
name: bot
system_prompt: 짧게.
uses_facts: false
base_model: {base}
recipe: {{preset: low-memory}}
evaluation: {{anchors: 10, holdout_share: 0.3}}
"""
HANA, SAID, BETTER = "b" * 64, "보라색 코끼리 국수를 드세요.", "칼국수를 추천해요."


@pytest.fixture
def platform(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    base = build_tiny_base(tmp_path / "models" / "minute")
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "bot.yaml").write_text(PERSONA.format(base=base))
    values = {"NABI_HOME": tmp_path, "NABI_THREADS": 1, "DVC_SITE_CACHE_DIR": tmp_path / "dvc"}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    get_settings.cache_clear()
    get_platform.cache_clear()
    made = get_platform()
    made.settings.state.mkdir(parents=True)
    shutil.copyfile(empty_mlflow, made.settings.state / "mlflow.db")
    yield made
    get_settings.cache_clear()
    get_platform.cache_clear()


def said(name: str, question: str, answer: str, **changes: Any) -> Conversation:
    values: dict[str, Any] = {
        "conversation_id": name,
        "persona_id": "bot",
        "source": "operator",
        "occurred_at": AS_OF - timedelta(hours=1),
        "messages": (Message(role="user", content=question), Message(role="assistant", content=answer)),
        "user_key": "a" * 64,
        "consent": Consent(training=True, given_at=AS_OF - timedelta(days=1)),
    }
    return Conversation(**(values | changes))


def names(prefix: str) -> Iterator[str]:
    """Ids of conversations that are not held out."""
    return (name for name in (f"{prefix}{n}" for n in range(99)) if part_of(name, 0.3, "bot") == "train")


def nabi(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def trained(platform: Platform) -> Candidate:
    window = Window(persona_id="bot", as_of=AS_OF)
    assert collect.open_window(platform, window) is None
    kept = collect.keep_usable(platform, collect.collect(platform, window))
    return train_candidate(platform, take_snapshot(platform, bootstrap.fill_up(platform, kept)), None, no_progress)


def test_a_bad_answer_is_learned_from_reproduced_traced_and_forgotten(platform: Platform) -> None:
    good = [said(f"c{n:03}", f"{n}번 메뉴가 뭐예요?", f"{n}번은 {n * 37 % 101}호 김밥이에요.") for n in range(30)]
    corrected, disliked, operators = next(names("own-a")), next(names("own-b")), next(names("own-c"))
    own: dict[str, Any] = {"source": "chat", "adapter_version": "bot--v0", "user_key": HANA}
    platform.store.add(
        [
            *good,
            said(corrected, "국수 뭐가 좋아요?", SAID, **own),
            said(disliked, "비 오는데 뭐 먹죠?", "비를 드세요, 맛있어요.", **own | {"feedback": -1.0}),
            said(operators, "아침에는 뭐가 좋아요?", "아침은 굶는 거예요, 그냥.", **own),
        ]
    )
    nabi("review", "correct", corrected, BETTER)
    nabi("review", "bad", operators)

    candidate = trained(platform)
    data = platform.datasets.checkout(candidate.snapshot.version, "bot")
    found = {answer.conversation_id: answer for answer in read_rows(data / "preferences.jsonl", BadAnswer)}
    assert {name: answer.better for name, answer in found.items()} == {
        corrected: BETTER,
        disliked: None,
        operators: None,
    }
    assert found[corrected].answer == SAID
    parts = {(row.conversation_id, row.part) for row in platform.journal.rows_of(candidate.snapshot.version, "bot")}
    assert {(corrected, "train"), (corrected, "preference"), (disliked, "preference")} <= parts
    assert (disliked, "train") not in parts, "a bad answer is not imitated"
    figures = platform.tracker.run_metrics(candidate.snapshot.run_id)
    assert (figures["data/bad_answers"], figures["data/bad_answers_corrected"]) == (3, 1)
    assert (figures["train/bad_answers"], figures["train/bad_answers_corrected"]) == (3, 1)
    assert 0 < figures["train/preference_loss"] < 1
    assert "train/preference_accuracy" in figures
    assert reproduce(platform, candidate.adapter, no_progress).equal
    assert candidate.adapter in {adapter.adapter for adapter in trace(platform, disliked).adapters}

    nabi("forget", "--user-key", HANA)
    newest = platform.lineage.newest(candidate.snapshot.version)
    assert newest != candidate.snapshot.version
    left = platform.datasets.checkout(newest, "bot")
    for words in (SAID, BETTER, "비를 드세요"):
        for path in (*left.iterdir(), *platform.settings.datasets.rglob("*.jsonl")):
            assert words.encode() not in path.read_bytes(), path
    assert platform.store.replaced("bot") == {}
    assert platform.registry.version(candidate.adapter).retire is not None


def test_a_persona_may_learn_from_no_bad_answers(platform: Platform) -> None:
    path = platform.settings.personas / "bot.yaml"
    path.write_text(path.read_text().replace("preset: low-memory", "preset: low-memory, preferences: off"))
    good = [said(f"c{n:03}", f"{n}번 메뉴가 뭐예요?", f"{n}번은 {n * 37 % 101}호 김밥이에요.") for n in range(30)]
    disliked = said(
        next(names("own-b")), "비 오는데 뭐 먹죠?", "비를 드세요.", adapter_version="bot--v0", feedback=-1.0
    )
    platform.store.add([*good, disliked])
    candidate = trained(platform)
    assert not (platform.datasets.checkout(candidate.snapshot.version, "bot") / "preferences.jsonl").exists()
    assert "train/preference_loss" not in platform.tracker.run_metrics(candidate.snapshot.run_id)
