"""What breaks a run, of one persona or as a whole, ends in the journal, in the run's sentence and with a person."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ports import free_port

from nabi.database.tables import ProgressRow
from nabi.integrations.local_servers import prefect_server, serving
from nabi.settings import Settings
from nabi.wiring import Platform

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
LATER = NOON + timedelta(hours=6)
RUNS = f"""
from datetime import datetime
import nabi.steps.forget as forget
from flows.continuous_learning import continuous_learning

def play(as_of):
    state = continuous_learning(None, datetime.fromisoformat(as_of), return_state=True)
    print(state.type.value, "|", state.message)

def broken(platform):
    raise PermissionError(13, "Permission denied", "/srv/datasets")

play("{NOON.isoformat()}")
forget.finish_before_run = broken
play("{LATER.isoformat()}")
play("{NOON.isoformat()}")
"""


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    personas = tmp_path / "personas"
    personas.mkdir()
    (personas / "bot.yaml").write_text("id: bot\nname: bot\nsystem_prompt: 짧게.\n")
    (personas / "hana.yaml").write_text("id: hana\nname: hana\nsystem_prompt: 짧게.\nlimit: {}\n")
    return Platform(Settings(home=tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_broken_file_stops_one_persona_and_a_broken_pass_is_told_for_all(platform: Platform, tmp_path: Path) -> None:
    server = prefect_server(platform.settings, free_port())
    environment = {**os.environ, **server.environment, "NABI_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with serving(server, tmp_path / "logs"):
        done = subprocess.run(
            [sys.executable, "-c", RUNS], env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second, third = (line for line in done.stdout.splitlines() if " | " in line)
    assert first.startswith("FAILED | bot: skipped: 0 of 50 new samples; hana: failed: bad configuration: ")
    assert "hana.yaml, line 4, limit: " in first
    assert second.startswith("FAILED | bot: failed: bad configuration: PermissionError")
    assert "; hana: failed: bad configuration: PermissionError" in second
    # What is decided stays so, and what failed is tried again: here by hana alone.
    assert third.startswith("FAILED | hana: failed: bad configuration: PermissionError")

    states = {(one.persona_id, one.as_of): one.state for who in ("bot", "hana") for one in platform.journal.latest(who)}
    assert states == {
        ("bot", NOON): "skipped",
        ("hana", NOON): "failed",
        ("bot", LATER): "failed",
        ("hana", LATER): "failed",
    }
    told = [(notice.event, notice.persona_id) for notice in platform.notices.latest()]
    assert sorted(told) == [("failed", "bot"), *[("failed", "hana")] * 3]
    with platform.database.read() as session:
        row = session.get(ProgressRow, "bot")
        assert row is not None
        assert (row.stage, row.percent, row.as_of) == ("bootstrap", 12, NOON)
    platform.database.close()
