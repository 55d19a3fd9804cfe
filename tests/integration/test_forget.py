"""A person is forgotten, for real: database, DVC, MLflow and files of a whole installation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from planted_home import (
    CANARY,
    HANA,
    NOON,
    Planted,
    copy_home,
    environment,
    hanas_key,
    open_platform,
    places_of_the_canary,
    plant,
    what_is_wrong,
)
from typer.testing import CliRunner

from nabi.cli import app
from nabi.settings import get_settings
from nabi.wiring import get_platform


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Planted:
    home = tmp_path_factory.mktemp("forget") / "template"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", environment(home)["DVC_SITE_CACHE_DIR"])
        return plant(home, empty_mlflow)


@pytest.fixture
def planted(template: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planted]:
    copied = copy_home(template, tmp_path / "home")
    for name, value in environment(copied.home).items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    get_platform.cache_clear()
    yield copied
    get_settings.cache_clear()
    get_platform.cache_clear()


def nabi(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_canary_is_planted_everywhere_it_can_get(planted: Planted) -> None:
    places = " ".join(places_of_the_canary(planted.home))
    for place in (
        "nabi.db",
        "dvc-remote",
        "cache/files",
        "datasets/guide",
        "checkouts",
        "mlruns",
        "evaluations",
        "logs",
    ):
        assert place in places
    assert {"bot--v1", "other--v1"}.isdisjoint(planted.tainted)
    assert {"bot--v2", "guide--v1", "bot--v3"} <= planted.tainted


def test_nothing_of_the_person_is_left_and_nothing_of_the_others_is_touched(planted: Planted) -> None:
    report = json.loads(nabi("forget", "--user", HANA, "--json"))[0]
    assert what_is_wrong(planted) == []
    assert report["state"] == "done"
    assert {line["place"] for line in report["deleted"]} == {
        "database",
        "dataset version",
        "datasets folder",
        "DVC cache and remotes",
        "checkout",
        "MLflow artifact",
        "state folder",
    }
    assert {line["adapter"] for line in report["retire"]} == planted.tainted
    notices = [notice for notice in open_platform(planted.home).notices.latest() if notice.event == "to_retire"]
    assert {adapter for notice in notices for adapter in notice.facts["adapters"]} == planted.tainted
    assert len(notices) == len({notice.persona_id for notice in notices}) > 1
    assert CANARY not in json.dumps(report, ensure_ascii=False)


def test_forgetting_again_and_somebody_unknown_changes_nothing(planted: Planted) -> None:
    nabi("forget", "--user", HANA)
    assert "nothing was held" in nabi("forget", "--user", HANA)
    assert "nothing was held" in nabi("forget", "--user", "nobody@example.com")
    assert "No request waits" in nabi("forget", "--resume")
    assert what_is_wrong(planted) == []


def test_runs_and_old_names_lead_to_the_versions_written_anew(planted: Planted) -> None:
    nabi("forget", "--user", HANA)
    platform = open_platform(planted.home)
    adapter = platform.registry.version("bot--v2")
    newest = platform.lineage.newest(adapter.dataset_version)
    assert newest != adapter.dataset_version
    assert platform.tracker.run_tags(adapter.run_id)["dataset_successor"] == newest
    [standing] = [s for s in platform.journal.latest("bot") if s.adapter_version == "bot--v2"]
    assert standing.dataset_version == newest
    assert platform.journal.trained_on("bot--v2")
    assert set(platform.journal.trained_on("bot--v2")).isdisjoint(planted.hanas)
    nabi("datasets", "checkout", adapter.dataset_version)
    assert platform.datasets.current() == newest
    assert places_of_the_canary(planted.home) == []


def test_lineage_leads_from_a_conversation_to_what_is_live_and_back(planted: Planted) -> None:
    platform = open_platform(planted.home)
    conversation = platform.journal.trained_on("bot--v2")[0]
    forward = json.loads(nabi("lineage", conversation, "--json"))
    assert {"bot--v2"} <= {adapter["adapter"] for adapter in forward["adapters"]}
    sample = forward["samples"][0]["sample_id"]
    assert json.loads(nabi("lineage", sample, "--json"))["samples"][0]["conversation_id"] == conversation
    back = json.loads(nabi("lineage", "bot--v2", "--all", "--json"))
    assert conversation in back["conversation_ids"]
    assert back["conversations"] == {"chat": len(back["conversation_ids"])}
    assert back["facts"]["mlflow_run"] == platform.registry.version("bot--v2").run_id
    dataset = json.loads(nabi("lineage", back["facts"]["dataset"], "--json"))
    assert "bot--v2" in {adapter["adapter"] for adapter in dataset["adapters"]}
    assert json.loads(nabi("lineage", "bot--v4", "--json"))["live"] == ["bot--v4"]
    person = json.loads(nabi("lineage", "--user", HANA, "--json"))
    assert set(person["conversation_ids"]) == planted.hanas
    assert {adapter["adapter"] for adapter in person["adapters"]} == planted.tainted


def test_lineage_names_every_version_that_holds_a_conversation(planted: Planted) -> None:
    """Also those that another persona's pass made: a version is the data of all personas."""
    for hers in ("c002", "c009"):
        holders = {
            version
            for version, personas in planted.files.items()
            for files in personas.values()
            if any(f'"{hers}"'.encode() in body for body in files.values())
        }
        found = json.loads(nabi("lineage", hers, "--json"))
        assert len(holders) > 1
        assert set(found["datasets"]) == holders
        for version in holders:
            assert hers in json.loads(nabi("lineage", version, "--all", "--json"))["conversation_ids"]


def test_after_a_deletion_lineage_says_so(planted: Planted) -> None:
    nabi("forget", "--user", HANA)
    hers = sorted(planted.hanas)[0]
    assert json.loads(nabi("lineage", hers, "--json"))["facts"]["state"] == "deleted on request"
    person = json.loads(nabi("lineage", "--user", HANA, "--json"))
    assert person["conversation_ids"] == []
    assert [request["state"] for request in person["facts"]["requests"]] == ["done"]
    assert "learned from" in json.loads(nabi("lineage", "bot--v2", "--json"))["adapters"][0]["retire"]
    rows = {row["adapter"]: row["retire"] for row in json.loads(nabi("adapters", "list", "bot", "--json"))}
    assert rows["bot--v1"] is None
    assert rows["bot--v2"]
    stand = {row["adapter"]: row["retire"] for row in json.loads(nabi("status", "--json"))["personas"]}
    live = {name for name in planted.adapters if name in stand}
    assert live & planted.tainted
    assert live - planted.tainted
    assert {name for name in live if stand[name]} == live & planted.tainted


def test_a_withdrawal_takes_only_what_came_since(planted: Planted) -> None:
    at = NOON + timedelta(minutes=20 * 60)
    nabi("forget", "--user", HANA, "--withdraw", "--from", at.isoformat())
    platform = open_platform(planted.home)
    left = {number for number in range(60) if f"c{number:03}" in planted.hanas}
    assert set(platform.store.of_person(hanas_key(platform))) == {f"c{number:03}" for number in left}
    rows = {
        row.conversation_id
        for version in planted.files
        for row in platform.lineage.samples_in(platform.lineage.newest(version))
    }
    assert rows & planted.hanas == {f"c{number:03}" for number in left} & rows
    text = "".join(path.read_text() for path in (planted.home / "datasets").rglob("*.jsonl"))
    assert f"{CANARY} 10 " in text
    assert not any(f"{CANARY} {number} " in text for number in range(60, 121))


def test_a_dropped_conversation_leaves_old_versions_too(planted: Planted) -> None:
    listed = json.loads(nabi("review", "list", "bot", "--json"))
    number = next(row["number"] for row in listed if row["reason"] == "quality" and CANARY in row["detail"])
    shown = json.loads(nabi("review", "show", str(number), "--json"))
    dropped = shown["conversation"]["conversation_id"]
    assert CANARY in shown["conversation"]["messages"][0]["content"]
    nabi("review", "drop", str(number))
    platform = open_platform(planted.home)
    assert platform.store.get(dropped) is None
    assert platform.lineage.samples_of_conversations([dropped]) == []
    assert platform.store.before("bot", NOON + timedelta(days=99))
    listed = json.loads(nabi("review", "list", "bot", "--all", "--json"))
    assert {row["decision"] for row in listed if row["number"] == number} == {"dropped"}
    assert number not in {row["number"] for row in json.loads(nabi("review", "list", "bot", "--json"))}
