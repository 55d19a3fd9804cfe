"""`nabi ingest` as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"


def nabi(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NABI_HOME": str(home), "NABI_PERSONAS_DIR": str(ROOT / "personas"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "nabi.cli", *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_meeting_is_brought_in_with_a_report_for_people_and_for_programs(tmp_path: Path) -> None:
    meeting = str(EXAMPLES / "meetings/2026-06-30-weekly.json")
    shown = nabi(tmp_path, "ingest", meeting, "--source", "meeting")
    assert shown.returncode == 0, shown.stderr
    for told in ("JSON transcript", "김철수", "speaker-lee-younghee", "no persona declares the speaker '박민수'"):
        assert told in shown.stdout
    again = nabi(tmp_path, "ingest", meeting, "--source", "meeting", "--json")
    report: dict[str, Any] = json.loads(again.stdout)
    assert (report["new"], report["known"], len(report["refused"])) == (0, 48, 6)
    assert report["refused"][0] == {
        "line": 32,
        "field": "text",
        "reason": "nobody else is known to have spoken before",
    }


def test_a_file_of_which_nothing_can_be_used_fails(tmp_path: Path) -> None:
    transcript = tmp_path / "undated.txt"
    transcript.write_text("이영희: 볼까요?\n김철수: 네\n", encoding="utf-8")
    done = nabi(tmp_path, "ingest", str(transcript), "--source", "meeting")
    assert done.returncode == 1
    assert "nobody says when the meeting was" in done.stdout
    assert nabi(tmp_path, "ingest", str(transcript), "--source", "meeting", "--at", "2026-06-30T14:00").returncode == 0
