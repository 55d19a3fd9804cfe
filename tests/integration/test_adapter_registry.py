"""Versions, stages and the way back, on a real MLflow store and a real database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nabi.database.engine import open_database
from nabi.errors import ConfigError
from nabi.integrations.mlflow_tracking import Tracker
from nabi.registry.adapters import AdapterRegistry, AdapterVersion
from nabi.registry.ledger import Ledger
from nabi.registry.removals import Removals
from nabi.registry.rollouts import Rollouts
from nabi.registry.version_names import parse_version_name


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_database(f"sqlite:///{tmp_path / 'nabi.db'}"))


@pytest.fixture
def rollouts(tmp_path: Path, ledger: Ledger) -> Rollouts:
    return Rollouts(open_database(f"sqlite:///{tmp_path / 'nabi.db'}"))


@pytest.fixture
def removals(tmp_path: Path, ledger: Ledger) -> Removals:
    return Removals(open_database(f"sqlite:///{tmp_path / 'nabi.db'}"))


@pytest.fixture
def registry(
    tmp_path: Path, tracker: Tracker, ledger: Ledger, rollouts: Rollouts, removals: Removals
) -> AdapterRegistry:
    return AdapterRegistry(tracker, ledger, rollouts, removals, tmp_path / "adapters")


def make_version(registry: AdapterRegistry, tracker: Tracker, digest: str) -> AdapterVersion:
    run_id = tracker.open_run("bot", f"bot@{digest}", {})
    folder = registry.candidate_folder("bot", digest)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_text(digest)
    return registry.register("bot", run_id, folder, digest, tags={"dataset_version": f"data-{digest}"})


def stages(registry: AdapterRegistry) -> dict[str, str]:
    return {version.name: version.stage for version in registry.versions("bot")}


def test_versions_are_numbered_and_keep_their_files(registry: AdapterRegistry, tracker: Tracker) -> None:
    first, second = make_version(registry, tracker, "a1"), make_version(registry, tracker, "b2")
    assert [first.name, second.name] == ["bot--v1", "bot--v2"]
    assert (registry.folder_of(first) / "adapter_model.safetensors").read_text() == "a1"
    assert registry.version("bot--v2").dataset_version == "data-b2"


@pytest.mark.parametrize("name", ["v2", "2", "bot--v2"])
def test_a_version_is_found_as_people_call_it(registry: AdapterRegistry, tracker: Tracker, name: str) -> None:
    make_version(registry, tracker, "a1"), make_version(registry, tracker, "b2")
    assert registry.version_called("bot", name).name == "bot--v2"


@pytest.mark.parametrize("name", ["newest", "", "other--v2", "v-2", "v²"])
def test_what_is_no_version_of_the_persona_is_refused_with_those_there_are(
    registry: AdapterRegistry, tracker: Tracker, name: str
) -> None:
    make_version(registry, tracker, "a1")
    with pytest.raises(ConfigError, match=r"this is no adapter version of bot\. Write one of: bot--v1\."):
        registry.version_called("bot", name)


def test_registering_the_same_adapter_again_makes_no_second_version(
    registry: AdapterRegistry, tracker: Tracker
) -> None:
    version = make_version(registry, tracker, "a1")
    run_id = tracker.open_run("bot", "bot@a1", {})
    again = registry.register("bot", run_id, registry.folder_of(version), "a1", tags={})
    assert again.name == version.name
    assert len(registry.versions("bot")) == 1


class Killed(BaseException):
    """Stands for kill -9: no handler of the product catches it."""


class DyingClient:
    """MLflow's client whose process dies after a number of calls; each call that is made is a real one."""

    def __init__(self, client: Any, num_calls: int) -> None:
        self._client = client
        self.left = num_calls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not callable(found := getattr(self._client, name)):
            return getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            self.left -= 1
            if self.left == 0:
                raise Killed
            return answer

        return call


def test_a_kill_between_any_two_calls_leaves_one_version_and_one_model(
    registry: AdapterRegistry, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tracker._client
    num_kills = 0
    for number in range(1, 40):
        monkeypatch.setattr(tracker, "_client", dying := DyingClient(real, number))
        try:
            register_again(registry, tracker, "a1")
        except Killed:
            num_kills += 1
        if dying.left > 0:
            break
    monkeypatch.setattr(tracker, "_client", real)
    experiment = tracker.experiment_id("bot")
    print(f"{num_kills} kills, one after each call to MLflow")
    assert num_kills > 8
    assert [version.name for version in registry.versions("bot")] == ["bot--v1"]
    assert len(real.search_logged_models([experiment])) == 1
    assert stages(registry) == {"bot--v1": "Staging"}
    assert (registry.folder_of(registry.version("bot--v1")) / "adapter_model.safetensors").read_text() == "a1"


def register_again(registry: AdapterRegistry, tracker: Tracker, digest: str) -> None:
    """What the repeated step does: the training writes the same bytes anew where they were taken away already."""
    folder = registry.candidate_folder("bot", digest)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_text(digest)
    run_id = tracker.open_run("bot", f"bot@{digest}", {})
    registry.register("bot", run_id, folder, digest, tags={"dataset_version": f"data-{digest}"})


def test_deploying_moves_aliases_and_stages(registry: AdapterRegistry, tracker: Tracker) -> None:
    first = make_version(registry, tracker, "a1")
    assert stages(registry) == {"bot--v1": "Staging"}
    registry.deploy(first, who="the gate", why="better")
    second = make_version(registry, tracker, "b2")
    assert tracker.aliases("bot") == {"champion": 1, "candidate": 2}
    registry.deploy(second, who="the gate", why="better still")
    assert tracker.aliases("bot") == {"champion": 2, "previous": 1}
    assert stages(registry) == {"bot--v1": "Archived", "bot--v2": "Production"}


def test_a_rejected_candidate_is_archived_with_its_reason(registry: AdapterRegistry, tracker: Tracker) -> None:
    registry.deploy(make_version(registry, tracker, "a1"), who="the gate", why="better")
    rejected = make_version(registry, tracker, "b2")
    registry.reject(rejected, why="gain 1 %, needs 5 %")
    assert stages(registry)["bot--v2"] == "Archived"
    assert registry.version("bot--v2").tags["why"] == "gain 1 %, needs 5 %"
    assert tracker.aliases("bot") == {"champion": 1}


def test_after_a_rollback_the_mirror_shows_the_previous_one_live(
    registry: AdapterRegistry, tracker: Tracker, ledger: Ledger
) -> None:
    for digest in ("a1", "b2"):
        registry.deploy(make_version(registry, tracker, digest), who="the gate", why="better")
    live = ledger.rollback("bot", who="hana", why="rude answers")
    registry.mirror("bot")
    assert (live.champion, live.previous) == ("bot--v1", "bot--v2")
    assert tracker.aliases("bot") == {"champion": 1, "previous": 2}
    assert stages(registry) == {"bot--v1": "Production", "bot--v2": "Archived"}


def test_the_version_on_trial_is_the_candidate_and_a_barred_one_says_why(
    registry: AdapterRegistry, tracker: Tracker, rollouts: Rollouts
) -> None:
    first, second = (make_version(registry, tracker, digest) for digest in ("a1", "b2"))
    registry.deploy(first, who="test", why="better")
    registry.reject(second, why="no gain")
    assert "candidate" not in tracker.aliases("bot")
    rollouts.start("bot", second.name, "b2", 10, who="kim", why="a look")
    registry.mirror("bot")
    assert stages(registry) == {"bot--v1": "Production", "bot--v2": "Staging"}
    assert tracker.aliases("bot") == {"champion": 1, "candidate": 2}
    rollouts.bar("bot", second.name, who="the watch", why="worse than bot--v1")
    rollouts.end("bot", "stopped", who="the watch", why="worse than bot--v1")
    registry.mirror("bot")
    assert stages(registry) == {"bot--v1": "Production", "bot--v2": "Archived"}
    assert registry.version("bot--v2").tags["barred"] == "worse than bot--v1"


def test_files_come_back_from_the_artifact_store(registry: AdapterRegistry, tracker: Tracker) -> None:
    import shutil

    version = make_version(registry, tracker, "a1")
    shutil.rmtree(registry.folder_of(version))
    assert (registry.folder_of(version) / "adapter_model.safetensors").read_text() == "a1"


def test_an_unknown_version_lists_the_known_ones(registry: AdapterRegistry, tracker: Tracker) -> None:
    make_version(registry, tracker, "a1")
    with pytest.raises(ConfigError, match=r"Known versions: bot--v1\."):
        registry.version("bot--v9")
    with pytest.raises(ConfigError, match="Versions are written as"):
        parse_version_name("bot-v9")


def test_a_repeated_pass_finds_its_run(tracker: Tracker) -> None:
    first = tracker.open_run("bot", "bot@2026-07-01T03:00Z", {})
    tracker.close_run(first)
    assert tracker.open_run("bot", "bot@2026-07-01T03:00Z", {}) == first
    assert tracker.open_run("bot", "bot@2026-07-01T09:00Z", {}) != first
