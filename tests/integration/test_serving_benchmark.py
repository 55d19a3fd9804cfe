"""`benchmarks/serving.py` runs, and what it measures is what it says: so that it cannot rot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def _figures(tmp_path: Path, *arguments: str) -> Any:
    out = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/serving.py", "--json", str(out), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def test_swaps_are_timed_beside_peft(tmp_path: Path) -> None:
    rows = _figures(tmp_path, "swap", "--adapters", "2", "--swaps", "4", "--peft-swaps", "2")["rows"]
    ways = {row["way"]: row for row in rows if row["asked"] == "uniform"}
    assert set(ways) == {
        "nabi, in memory",
        "nabi, in memory, with the step behind it",
        "nabi, from the disk again",
        "nabi, from the disk for the first time",
        "reading the weights' file alone",
        "PEFT, set_adapter",
        "PEFT, set_adapter, with the step behind it",
        "PEFT, load_adapter and set_adapter",
    }
    assert ways["PEFT, set_adapter"]["ratio"] > 10


def test_tokens_are_counted_beside_the_bare_base_and_peft(tmp_path: Path) -> None:
    few = ("--batches", "2", "--known", "3", "--rounds", "1", "--tokens", "40", "4", "--without-serve")
    figures = _figures(tmp_path, "chat", *few)
    assert figures["2, nabi, the bare base"]["share"] == 1
    for way in ("nabi, each of 2 another persona", "PEFT's mixed batch, each another persona"):
        assert figures[f"2, {way}"]["rate"] > 0


def test_users_meet_what_is_live_in_its_own_words(tmp_path: Path) -> None:
    figures = _figures(tmp_path, "users", "--users", "3", "--seconds", "16", "--every", "2.5", "--think", "0.2")
    assert set(figures["answers"]) <= {"right, word for word", "other words than alone (rounding)"}
    assert figures["answers"]["right, word for word"] >= 10
    assert figures["lost"] == 0
    assert {how: len(late) for how, late in figures["lags"].items()} == {"go live": 3, "HTTP": 1, "nabi rollback": 1}
