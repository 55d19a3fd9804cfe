"""A whole platform in which people have the last word: a run is suspended without a process, voted on, and deploys."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_platform import NOON, ROOT, SmallPlatform, plant_small_home, prefect_client, small_platform
from waiting import wait_until

from nabi.evaluation.preference import Vote
from nabi.steps.blind import cast, open_set
from nabi.wiring import Platform

PERSONA = "bot"
# Other work on the machine is not what this is about.
SECONDS = 600

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def gentle_base(folder: Path) -> Path:
    """The shipped base with so small a rate that its adapter finds the answers likelier and breaks no hard gate: a
    candidate that the real gate deploys, after half a minute."""
    shutil.copytree(ROOT / "models" / "tiny-ko", folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(recipe | {"epochs": 1, "learning_rate": 8e-4}))
    return folder


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPlatform]:
    folder = tmp_path_factory.mktemp("platform")
    planted = plant_small_home(folder / "home", PERSONA, base=gentle_base(folder / "gentle"), num=100)
    planted.database.close()
    declared = folder / "home" / "personas" / f"{PERSONA}.yaml"
    rules = yaml.safe_load(declared.read_text())
    rules["evaluation"] |= {
        "anchors": 20,
        "holdout_share": 0.2,
        "max_seconds": 60,
        "weights": {"grounded": 0.0, "style": 0.0, "likelihood": 1.0, "form": 0.0},
        "people": {"required": True, "votes": 20, "least_share": 0.5},
    }
    declared.write_text(yaml.safe_dump(rules, allow_unicode=True))
    with small_platform(folder / "home") as platform:
        platform.start("worker", "control")
        yield platform


def test_a_run_waits_for_votes_without_a_process_and_goes_on_with_them(up: SmallPlatform) -> None:
    nabi = Platform(up.settings)
    with prefect_client(up) as client:
        run = client.create_flow_run_from_deployment(
            client.read_deployment_by_name("continuous-learning/every-six-hours").id,
            parameters={"persona_ids": [PERSONA], "as_of": NOON.isoformat()},
            work_queue_name="normal",
        ).id

        def state() -> Any:
            return client.read_flow_run(run).state

        wait_until(lambda: state().name == "AwaitingVotes" or state().is_final(), SECONDS, "it asks people")
        waiting = state()
        assert waiting.is_paused(), waiting
        assert "people's votes on bot--v1: `nabi review ab bot --adapter v1`" in waiting.message
        wait_until(lambda: not up.flow_processes(), 60, "its process has ended")
        assert not [lease for lease in nabi.leases.held() if lease.holder == str(run)]
        assert nabi.ledger.live(PERSONA) is None

        asked = open_set(nabi, PERSONA, None, 20)
        assert asked.pairs
        for pair in asked.pairs:
            cast(nabi, asked, Vote(sample_id=pair.sample_id, who="kim", choice="new", at=datetime.now(UTC)))
        wait_until(lambda: state().is_final(), SECONDS, "it goes on by itself and ends")
        assert state().is_completed(), state()
        names = [entry.name for entry in client.read_flow_run_states(run)]
    assert names.count("AwaitingVotes") == 1
    assert names.count("Running") == 2
    live = nabi.ledger.live(PERSONA)
    assert live is not None
    assert live.champion == "bot--v1"
    # What was done before it slept was not done again.
    assert [version.name for version in nabi.registry.versions(PERSONA)] == ["bot--v1"]
    (ended,) = nabi.journal.latest(PERSONA, 10)
    assert ended.sentence.startswith("deployed v1 (")
    assert ended.sentence.endswith(f"; 100% of {len(asked.pairs)} people's votes for it")
    assert nabi.tracker.run_metrics(asked.run_id)["ab/share"] == 1
    nabi.database.close()
