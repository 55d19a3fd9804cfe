"""Stores that are real but made once: creating MLflow's tables takes seconds, copying a file does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nabi.integrations.mlflow_tracking import Tracker


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in it."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Tracker(f"sqlite:///{path}", path.parent / "mlruns").versions("nobody")
    return path


@pytest.fixture
def tracker(tmp_path: Path, empty_mlflow: Path) -> Tracker:
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_mlflow, path)
    return Tracker(f"sqlite:///{path}", tmp_path / "mlruns")
