"""A whole pass, by the command and everything that it starts, asks nothing of any other machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from minute_base import build_tiny_base
from small_platform import NOON, ROOT, plant_small_home

WATCH = ROOT / "tests" / "support" / "outside_calls"
# What makes libraries hold their tongues by themselves must not help: nobody has it set.
QUIETING = (
    "CI",
    "DO_NOT_TRACK",
    "DVC_",
    "GITHUB_ACTIONS",
    "HF_",
    "MLFLOW_",
    "NABI_",
    "PREFECT_",
    "PYTEST_",
    "TRANSFORMERS_",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_pass_with_training_tracking_and_gate_asks_nothing_of_the_outside(tmp_path: Path) -> None:
    base = build_tiny_base(tmp_path / "base" / "minute")
    plant_small_home(tmp_path / "home", "bot", base=base).database.close()
    asked = tmp_path / "asked"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(QUIETING)}
    environment = plain | {
        "NABI_HOME": str(tmp_path / "home"),
        "NABI_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OUTSIDE_CALLS": str(asked),
        "PYTHONPATH": os.pathsep.join((str(WATCH), str(ROOT))),
    }
    command = [sys.executable, "-m", "nabi.cli", "run", "--persona", "bot", "--as-of", NOON.isoformat()]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "bot  90 %  measuring the candidate against the champion" in done.stdout
    assert not asked.exists(), asked.read_text()
