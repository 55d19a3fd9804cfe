"""An MLflow store of its own for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nabi.integrations.mlflow_tracking import Tracker


@pytest.fixture
def tracker(tmp_path: Path, empty_mlflow: Path) -> Tracker:
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_mlflow, path)
    return Tracker(f"sqlite:///{path}", tmp_path / "mlruns")
