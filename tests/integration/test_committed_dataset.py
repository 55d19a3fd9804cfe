"""`datasets.dvc` in the repository is what window 1 of the shipped example makes on a fresh installation."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import yaml

from nabi.conversations.ingest import ingest_file
from nabi.settings import Settings
from nabi.steps import bootstrap, collect, snapshot
from nabi.steps.window import Snapshot, Window
from nabi.wiring import Platform

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime.fromisoformat("2026-07-01T12:00+09:00")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A fresh installation that holds window 1's log."""
    (tmp_path / "sample_data.xlsx").symlink_to(ROOT / "sample_data.xlsx")
    made = Platform(Settings(home=tmp_path, personas_dir=ROOT / "personas", models_dir=ROOT / "models"))
    ingest_file(ROOT / "examples" / "logs" / "window-1.jsonl", "chat", made.store, None, b"k" * 32)
    return made


def snapshot_of_window_1(platform: Platform) -> Snapshot:
    window = Window(persona_id="nabiyam", as_of=AS_OF)
    assert collect.open_window(platform, window) is None
    kept = collect.keep_usable(platform, collect.collect(platform, window))
    return snapshot.take_snapshot(platform, bootstrap.fill_up(platform, kept))


def test_a_fresh_installation_makes_the_committed_version(platform: Platform) -> None:
    committed = yaml.safe_load((ROOT / "datasets.dvc").read_text())["outs"][0]
    made = snapshot_of_window_1(platform)
    assert made.version == committed["md5"]
    assert yaml.safe_load((platform.settings.home / "datasets.dvc").read_text())["outs"][0] == committed
    assert (made.num_train, made.num_holdout, made.num_anchors) == (897, 3, 110)


def test_the_feature_report_and_the_card_are_in_mlflow(platform: Platform) -> None:
    made = snapshot_of_window_1(platform)
    folder = platform.settings.mlruns / "nabiyam" / made.run_id / "artifacts"
    assert "Tier 1" in (folder / "catalogue" / "feature_report.md").read_text()
    assert made.digest in (folder / "dataset" / "card.md").read_text()
    assert platform.tracker.run_metrics(made.run_id)["catalogue/shops"] == 126
