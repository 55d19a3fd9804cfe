"""What `nabi status` tells where something is wrong or under way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from nabi.settings import Settings
from nabi.wiring import Platform

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)


def test_a_broken_file_is_told_in_its_own_line_and_a_pass_under_way_in_percent(tmp_path: Path) -> None:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "bot.yaml").write_text("id: bot\nname: bot\nsystem_prompt: 짧게.\n")
    (tmp_path / "personas" / "hana.yaml").write_text("id: [")
    platform = Platform(Settings(home=tmp_path))
    platform.journal.start("bot", NOON)
    platform.progress.note("bot", NOON, stage="train", percent=43.2, told="step 12 of 52")
    platform.database.close()
    environment = {**os.environ, "NABI_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "nabi.cli", "status", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    bot, hana = json.loads(done.stdout)["personas"]
    assert (bot["last"], bot["new"]) == ("43 %: step 12 of 52", "0 of 50")
    assert (hana["adapter"], hana["new"]) == ("base", "0 of ?")
    assert "hana.yaml, line 1: is not plain YAML" in hana["last"]
