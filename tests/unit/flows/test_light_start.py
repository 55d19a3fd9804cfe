"""Most windows train nothing, and a rollback is urgent: neither waits for the imports of what trains and tracks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "transformers", "peft", "mlflow", "dvc", "matplotlib")
SKIPPED = f"""
import sys
from datetime import UTC, datetime
from pathlib import Path

import flows.continuous_learning
from nabi.settings import Settings
from nabi.steps import bootstrap, collect, no_candidate
from nabi.steps.window import Window
from nabi.wiring import Platform

platform = Platform(Settings(home=Path(sys.argv[1])))
window = Window(persona_id="bot", as_of=datetime(2026, 7, 1, tzinfo=UTC))
assert collect.open_window(platform, window) is None
filled = bootstrap.fill_up(platform, collect.keep_usable(platform, collect.collect(platform, window)))
print(no_candidate.skip(platform, filled, bootstrap.why_not_train(platform, filled)).sentence)
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_a_window_with_too_few_new_samples_ends_without_the_libraries_that_train(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "bot.yaml").write_text("id: bot\nname: bot\nsystem_prompt: 짧게.\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SKIPPED, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["skipped: 0 of 50 new samples", "[]"]


def test_a_rollback_does_not_wait_for_what_it_does_not_need() -> None:
    """MLflow alone takes longer to import than a rollback may take."""
    heavy = (*HEAVY, "numpy", "prefect")
    code = f"import sys, nabi.cli, nabi.steps.go_live; print([name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_training_begins_without_waiting_for_what_only_its_own_process_needs() -> None:
    code = f"import sys, nabi.steps.train; print([name for name in {HEAVY} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
