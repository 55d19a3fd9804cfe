"""What nobody needs any more goes from an installation, and everything else stays: real stores, made-up weights."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nabi.cli import app
from nabi.errors import ConfigError
from nabi.registry.adapters import AdapterRegistry, AdapterVersion
from nabi.settings import get_settings
from nabi.steps.clean_up import clean_up, superfluous_adapters
from nabi.steps.go_live import promote, roll_back, try_out
from nabi.wiring import Platform, get_platform

BY = {"who": "a test", "why": "a test"}
NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
PERSONA = "id: {}\nname: bot\nsystem_prompt: 짧게.\nretention: {{newest: 1, once_live: 2}}\n"
BEYOND = "neither one of the newest 1 nor of the 2 that were live last"
DAY = timedelta(days=1)


class Killed(BaseException):
    """Stands for kill -9: no handler of the product catches it."""


@pytest.fixture
def platform(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    (tmp_path / "personas").mkdir()
    for persona in ("bot", "other"):
        (tmp_path / "personas" / f"{persona}.yaml").write_text(PERSONA.format(persona))
    monkeypatch.setenv("NABI_HOME", str(tmp_path))
    get_settings.cache_clear()
    get_platform.cache_clear()
    made = get_platform()
    made.settings.state.mkdir()
    shutil.copyfile(empty_mlflow, made.settings.state / "mlflow.db")
    yield made
    made.database.close()
    get_settings.cache_clear()
    get_platform.cache_clear()


def train(platform: Platform, persona: str = "bot", **tags: str) -> AdapterVersion:
    """A next version, with all files that an adapter has."""
    number = len(platform.registry.versions(persona)) + 1
    run_id = platform.tracker.open_run(persona, f"{persona}@{number}", {})
    folder = platform.registry.candidate_folder(persona, f"c{number}")
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "manifest.json", "metadata.json", "tokenizer.json"):
        (folder / name).write_text(json.dumps({"number": number}))
    (folder / "adapter_model.safetensors").write_bytes(bytes([number]) * 1000)
    return platform.registry.register(persona, run_id, folder, f"d{number}", tags=tags)


def lives(platform: Platform, num: int) -> list[AdapterVersion]:
    """Versions that were live one after the other."""
    versions = [train(platform) for _ in range(num)]
    for version in versions:
        platform.registry.deploy(version, **BY)
    return versions


def stored(platform: Platform, persona: str = "bot") -> dict[str, set[str]]:
    """Version → what the artifact store holds of it."""
    scratch = platform.settings.home / "looked"
    found = {}
    for version in platform.tracker.versions(persona):
        folder = platform.tracker.fetch_adapter(version, scratch / str(time.monotonic_ns()))
        found[f"{persona}--v{version.number}"] = {path.name for path in folder.iterdir()}
    return found


def here(platform: Platform, persona: str = "bot") -> set[str]:
    return {path.name for path in (platform.settings.adapters / persona).iterdir()} - {"candidates"}


def aged(path: Path, by: timedelta) -> None:
    for one in (path, *path.rglob("*")):
        os.utime(one, (time.time() - by.total_seconds(),) * 2)


def test_old_versions_lose_their_files_and_keep_their_records(platform: Platform) -> None:
    lives(platform, 5)
    cleaned = clean_up(platform)
    assert cleaned.adapters == dict.fromkeys(("bot--v1", "bot--v2", "bot--v3"), BEYOND)
    assert cleaned.num_bytes > 2 * 3 * 1000, "here and in the store"
    assert here(platform) == {"bot--v4", "bot--v5"}
    records = {"adapter_config.json", "manifest.json", "metadata.json"}
    whole = records | {"adapter_model.safetensors", "tokenizer.json"}
    assert list(stored(platform).values()) == [records, records, records, whole, whole]
    versions = platform.registry.versions("bot")
    assert [version.removed for version in versions] == [BEYOND] * 3 + [None] * 2
    assert [version.digest for version in versions] == ["d1", "d2", "d3", "d4", "d5"]
    again = clean_up(platform)
    assert (again.adapters, again.num_bytes) == ({}, 0)


def test_what_was_removed_can_neither_be_used_nor_come_back_as_half_of_itself(platform: Platform) -> None:
    first, *_ = lives(platform, 4)
    clean_up(platform)
    for use in (
        lambda: platform.registry.folder_of(first),
        lambda: promote(platform, "bot--v1", **BY),
        lambda: try_out(platform, "bot", 10, candidate="bot--v1", **BY),
    ):
        with pytest.raises(ConfigError, match="the files of bot--v1 were removed on 20"):
            use()
    assert here(platform) == {"bot--v3", "bot--v4"}
    assert roll_back(platform, "bot", **BY).startswith("bot--v3 is live")
    record, has_weights = platform.registry.record_of(first, platform.settings.state / "scratch")
    assert not has_weights
    assert json.loads((record / "metadata.json").read_text()) == {"number": 1}


def test_a_candidate_on_trial_and_one_whose_window_is_undecided_stay(platform: Platform) -> None:
    platform.journal.start("bot", NOON)
    tried, waits, _neither = train(platform), train(platform, as_of=NOON.isoformat()), train(platform)
    lives(platform, 3)
    try_out(platform, "bot", 10, candidate=tried.name, **BY)
    assert list(clean_up(platform).adapters) == ["bot--v3", "bot--v4"]
    platform.journal.finish("bot", NOON, "kept", "not better", adapter_version=waits.name)
    roll_back(platform, "bot", **BY)  # ends the trial
    assert list(clean_up(platform).adapters) == ["bot--v1", "bot--v2"]


def test_what_learned_from_deleted_words_goes_unless_it_answers(platform: Platform) -> None:
    lives(platform, 2)
    train(platform)
    platform.lineage.retire([(f"bot--v{number}", "bot", 1) for number in (1, 2, 3)], 1)
    assert clean_up(platform).adapters == {"bot--v3": "it learned from words that were deleted since"}
    platform.registry.deploy(train(platform), **BY)
    assert list(clean_up(platform).adapters) == ["bot--v1"]
    with pytest.raises(ConfigError, match="bot--v4 is live"):
        try_out(platform, "bot", 10, **BY)


def test_a_replays_winner_is_kept_for_the_next_window_of_the_replay(platform: Platform) -> None:
    for hours in (0, 6, 12):
        as_of = NOON + timedelta(hours=hours)
        platform.journal.start("bot", as_of, "replay")
        version = train(platform, replay="of the past", as_of=as_of.isoformat())
        state = "kept" if hours else "won"
        platform.journal.finish("bot", as_of, state, "", adapter_version=version.name, line="replay")  # type: ignore[arg-type]
    assert list(clean_up(platform).adapters) == ["bot--v2"]


def test_killed_anywhere_the_next_call_finishes(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    lives(platform, 4)
    for owner, name in (
        (type(platform.registry), "remove_files"),
        (type(platform.tracker), "remove_adapter_files"),
        (type(platform.tracker), "tag_version"),
        (type(platform.removals), "finish"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed)
            with pytest.raises(Killed):
                clean_up(platform)
    assert set(platform.removals.of("bot")) == {"bot--v1", "bot--v2"}
    assert list(clean_up(platform).adapters) == ["bot--v1", "bot--v2"]
    assert here(platform) == {"bot--v3", "bot--v4"}
    assert platform.removals.unfinished() == []
    assert len(stored(platform)["bot--v1"]) == 3


def killed(*_args: object, **_kwargs: object) -> None:
    raise Killed


def test_two_at_once_take_turns(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    lives(platform, 4)
    within: list[str] = []
    most: list[int] = []
    remove_files = type(platform.registry).remove_files

    def slowly(registry: AdapterRegistry, version: AdapterVersion, *, why: str) -> int:
        within.append(version.name)
        most.append(len(within))
        time.sleep(0.2)
        within.remove(version.name)
        return remove_files(registry, version, why=why)

    monkeypatch.setattr(type(platform.registry), "remove_files", slowly)
    with ThreadPoolExecutor(2) as pool:
        cleaned = list(pool.map(clean_up, [platform] * 2))
    assert sorted(len(one.adapters) for one in cleaned) == [0, 2]
    assert max(most) == 1


def test_a_persona_whose_file_is_broken_or_gone_keeps_everything(platform: Platform) -> None:
    lives(platform, 4)
    for _ in range(3):
        train(platform, "other")
    (platform.settings.personas / "bot.yaml").write_text("id: bot\nretention: {newest: 0}\n")
    assert list(clean_up(platform).adapters) == ["other--v1", "other--v2"]
    (platform.settings.personas / "bot.yaml").unlink()
    assert clean_up(platform).adapters == {}
    assert len(here(platform)) == 4


def test_trainings_that_nobody_goes_on_with_and_old_results_go(platform: Platform) -> None:
    left, fresh = (platform.registry.candidate_folder("bot", name) for name in ("left", "fresh"))
    for folder in (left, fresh):
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "checkpoint" / "state.pt").write_bytes(b"x" * 500)
        aged(folder, 4 * DAY)
    os.utime(fresh / "checkpoint" / "state.pt")
    results = platform.settings.state / "prefect" / "storage"
    results.mkdir(parents=True)
    for name, age in (("old", 100 * DAY), ("new", 80 * DAY)):
        (results / name).write_bytes(b"y" * 100)
        aged(results / name, age)
    assert clean_up(platform).num_bytes >= 600
    assert not left.exists()
    assert (fresh / "checkpoint" / "state.pt").exists()
    assert [path.name for path in results.iterdir()] == ["new"]


def test_checkouts_that_nobody_asks_for_go_and_are_laid_out_again(platform: Platform) -> None:
    def write(number: int) -> str:
        folder = platform.settings.datasets / "bot"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.jsonl").write_text(f"row {number}\n")
        return platform.datasets.save(lambda _: None)[0]

    checkouts = platform.settings.state / "checkouts"
    first, second = write(1), write(2)
    for version in (first, second):
        platform.datasets.checkout(version, "bot")
        aged(checkouts / version, 3 * DAY)
    (checkouts / "tmp-of-a-killed-writer").mkdir()
    platform.datasets.checkout(second, "bot")  # asked for again just now
    clean_up(platform)
    assert [path.name for path in checkouts.iterdir()] == [second]
    assert (platform.datasets.checkout(first, "bot") / "train.jsonl").read_text() == "row 1\n"


def test_the_command_tells_first_and_removes_then(platform: Platform) -> None:
    lives(platform, 4)
    told = CliRunner().invoke(app, ["adapters", "clean", "--dry-run", "--json"])
    assert [row["adapter"] for row in json.loads(told.stdout)] == ["bot--v1", "bot--v2"]
    assert superfluous_adapters(platform) == {"bot": {"bot--v1": BEYOND, "bot--v2": BEYOND}}
    done = CliRunner().invoke(app, ["adapters", "clean"])
    assert (done.exit_code, "old adapters removed: 2" in done.stdout) == (0, True)
    listed = CliRunner().invoke(app, ["adapters", "list", "bot", "--json"])
    assert [bool(row["removed"]) for row in json.loads(listed.stdout)] == [True, True, False, False]
    shown = CliRunner().invoke(app, ["adapters", "show", "bot--v1"])
    assert json.loads(shown.stdout)["folder"] is None
    assert "No adapter is superfluous" in CliRunner().invoke(app, ["adapters", "clean"]).stdout
