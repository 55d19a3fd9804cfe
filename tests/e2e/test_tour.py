"""The shipped example, whole: what `make run` plays, on a fresh installation, with what must follow from it.

Nothing here arranges an outcome: the logs and the workbook are shipped, the decisions come from training and measuring.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WINDOWS = ("--from", "2026-07-01T06:00+09:00", "--to", "2026-07-02T06:00+09:00", "--persona", "nabiyam")


class Installation:
    """A folder with its own state, sharing only the shipped personas and models."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.seconds = 0.0
        (home / "sample_data.xlsx").symlink_to(ROOT / "sample_data.xlsx")
        self.environment = {
            **os.environ,
            "NABI_HOME": str(home),
            "NABI_PERSONAS_DIR": str(ROOT / "personas"),
            "NABI_MODELS_DIR": str(ROOT / "models"),
            "COLUMNS": "200",
        }

    def nabi(self, *arguments: str, expect: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "nabi.cli", *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=2400,
        )
        assert done.returncode == expect, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def json(self, *arguments: str) -> Any:
        printed = self.nabi(*arguments, "--json")
        return json.loads(printed[printed.index("\n[" if "\n[" in printed else "[") :])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    """The tour, played once."""
    installation = Installation(tmp_path_factory.mktemp("tour"))
    begun = time.monotonic()
    printed = installation.nabi("tour", str(ROOT / "examples" / "tour.yaml"))
    installation.seconds = time.monotonic() - begun
    yield installation, printed


@pytest.fixture(scope="module")
def windows(played: tuple[Installation, str]) -> list[dict[str, Any]]:
    """The four windows as the journal has them."""
    rows: list[dict[str, Any]] = played[0].json("backfill", *WINDOWS)
    return rows


def deployed_versions(windows: list[dict[str, Any]]) -> list[str]:
    return [row["adapter"] for row in windows if row["state"] == "deployed"]


pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]


def test_thin_logs_are_filled_up_and_the_first_adapter_beats_the_base(windows: list[dict[str, Any]]) -> None:
    first = windows[0]
    assert first["state"] == "deployed"
    assert first["adapter"] == "nabiyam--v1"
    assert first["new"] == 900
    assert "over base" in first["why"]


def test_too_few_new_conversations_train_nothing_and_say_how_many(windows: list[dict[str, Any]]) -> None:
    second = windows[1]
    assert (second["state"], second["adapter"], second["dataset"]) == ("skipped", None, "")
    assert second["why"] == "skipped: 25 of 50 new samples"


def test_conversations_that_teach_nothing_new_deploy_nothing(windows: list[dict[str, Any]]) -> None:
    third = windows[2]
    assert third["state"] == "kept"
    assert third["new"] == 95  # the 25 of the window before are still there: a skipped window consumes nothing
    assert "needs 5" in third["why"]


def test_new_kinds_of_conversations_are_learned_and_deployed(windows: list[dict[str, Any]]) -> None:
    fourth = windows[3]
    assert fourth["state"] == "deployed"
    assert fourth["adapter"] == "nabiyam--v3"
    assert fourth["new"] == 493  # nor does a rejected candidate
    assert float(fourth["gain"].strip("%+")) >= 5


def test_the_tour_ends_with_answers_a_table_and_a_picture(played: tuple[Installation, str]) -> None:
    installation, printed = played
    for expected in ("nabiyam--v1", "nabiyam--v3", "base", "떡볶이 먹고 싶어", "experiments/"):
        assert expected in printed
    picture = installation.home / "output" / "nabiyam-comparison.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_versions_roles_and_the_way_back(played: tuple[Installation, str], windows: list[dict[str, Any]]) -> None:
    installation = played[0]
    rows = {row["adapter"]: row for row in installation.json("adapters", "list", "nabiyam")}
    deployed = deployed_versions(windows)
    assert [name for name, row in rows.items() if row["role"] == "champion"] == deployed[-1:]
    assert [name for name, row in rows.items() if row["role"] == "previous"] == deployed[:-1]
    assert [name for name, row in rows.items() if row["stage"] == "Production"] == deployed[-1:]
    assert rows["nabiyam--v2"]["why"] == windows[2]["why"]
    installation.nabi("promote", "nabiyam--v2", "--why", "a rehearsal")
    asked = ("chat", "nabiyam", "피자 먹고 싶어", "--at", "2026-07-02T12:00", "--json")
    assert json.loads(installation.nabi(*asked))["adapter"] == "nabiyam--v2"
    assert deployed[-1] in installation.nabi("rollback", "nabiyam", "--why", "the rehearsal is over")
    assert json.loads(installation.nabi(*asked))["adapter"] == deployed[-1]
    history = installation.json("adapters", "history", "nabiyam")
    assert [(row["action"], row["adapter"]) for row in history] == [
        *(("deploy", name) for name in deployed),
        ("promote", "nabiyam--v2"),
        ("rollback", deployed[-1]),
    ]


def test_the_champion_answers_with_the_facts_it_was_given(
    played: tuple[Installation, str], windows: list[dict[str, Any]]
) -> None:
    asked = ("chat", "nabiyam", "떡볶이 먹고 싶어", "--at", "2026-07-02T12:00", "--json")
    answer = json.loads(played[0].nabi(*asked))
    assert answer["adapter"] == deployed_versions(windows)[-1]
    best = answer["facts"][0]
    assert best["가게"] in answer["answer"]
    assert best["가격"] in answer["answer"]


def test_playing_it_again_is_fast_and_changes_nothing(
    played: tuple[Installation, str], windows: list[dict[str, Any]]
) -> None:
    installation = played[0]
    begun = time.monotonic()
    installation.nabi("tour", str(ROOT / "examples" / "tour.yaml"))
    assert time.monotonic() - begun < installation.seconds / 2  # a share: how busy the machine is, is nobody's fault
    assert installation.json("backfill", *WINDOWS) == windows


def test_every_dataset_version_checks_out_again(
    played: tuple[Installation, str], windows: list[dict[str, Any]]
) -> None:
    installation = played[0]
    for row in installation.json("datasets", "list", "nabiyam"):
        folder = Path(installation.nabi("datasets", "checkout", row["dataset"], "--persona", "nabiyam").strip())
        assert sum(1 for _ in (folder / "train.jsonl").open()) > 400
    assert "| nabiyam | 1,010 | 100.0% | 784 | 116 | 110 |" in installation.nabi("datasets", "card")
