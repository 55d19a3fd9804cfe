"""People have the last word on what the gate would deploy: a real evaluation, votes cast as `nabi review ab` does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from minute_base import build_tiny_base
from small_platform import NOON, plant_small_home

from nabi.evaluation.preference import Choice, Vote
from nabi.registry.leases import persona_lease
from nabi.steps import bootstrap, collect, conclude, evaluate, snapshot, train
from nabi.steps.blind import BlindSet, cast, open_set
from nabi.steps.people import ask_people, voted_since
from nabi.steps.window import Judged, Window
from nabi.training.train import train_adapter
from nabi.wiring import Platform

PERSONA = "bot"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("people")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        patch.setattr(train, "train_in_own_process", train_adapter)  # seconds of imports less
        made = plant_small_home(folder / "home", PERSONA, base=build_tiny_base(folder / "base" / "minute"), num=100)
        shutil.copyfile(empty_mlflow, made.settings.state / "mlflow.db")
        declared = made.settings.personas / f"{PERSONA}.yaml"
        rules = yaml.safe_load(declared.read_text())
        rules["evaluation"] |= {
            "anchors": 40,
            "holdout_share": 0.35,
            "people": {"required": True, "votes": 20, "least_share": 0.6, "days": 2},
        }
        declared.write_text(yaml.safe_dump(rules, allow_unicode=True))
        made.holding.take([persona_lease(PERSONA)], "the test")
        yield made
        made.database.close()


@pytest.fixture(scope="module")
def judged(platform: Platform) -> Judged:
    """A real candidate, and a verdict that would deploy it, whatever its figures are."""
    window = Window(persona_id=PERSONA, as_of=NOON)
    assert collect.open_window(platform, window) is None
    filled = bootstrap.fill_up(platform, collect.keep_usable(platform, collect.collect(platform, window)))
    candidate = train.train_candidate(platform, snapshot.take_snapshot(platform, filled), None, lambda *_: None)
    said = conclude.judge(platform, evaluate.evaluate_candidate(platform, candidate))
    return said.model_copy(update={"deploy": True, "sentence": "deployed v1 (+9.0 %)"})


@pytest.fixture
def asked(platform: Platform, judged: Judged) -> Iterator[BlindSet]:
    opened = open_set(platform, PERSONA, "v1", 20)
    assert len(opened.pairs) == 20
    yield opened
    opened.votes_file.unlink(missing_ok=True)


def vote(platform: Platform, asked: BlindSet, choices: list[Choice]) -> None:
    for pair, choice in zip(asked.pairs, choices, strict=False):
        cast(platform, asked, Vote(sample_id=pair.sample_id, who="kim", choice=choice, at=NOON))


def test_a_run_waits_until_enough_have_voted_and_deploys_what_they_prefer(
    platform: Platform, judged: Judged, asked: BlindSet
) -> None:
    before = datetime.now(UTC)
    waiting = ask_people(platform, judged, can_wait=True)
    assert waiting.awaits == "0 of 20 people's votes on bot--v1: `nabi review ab bot --adapter v1`"
    vote(platform, asked, ["new"] * 12)
    assert not voted_since(platform, [PERSONA], before)
    waiting = ask_people(platform, judged, can_wait=True)
    assert waiting.awaits is not None
    assert waiting.awaits.startswith("12 of 20")
    vote(platform, asked, ["new"] * 14 + ["tie", "tie"] + ["old"] * 4)
    assert voted_since(platform, [PERSONA], before)
    assert not voted_since(platform, [PERSONA], datetime.now(UTC) + timedelta(minutes=5))
    agreed = ask_people(platform, judged, can_wait=True)
    assert (agreed.deploy, agreed.awaits) == (True, None)
    assert agreed.sentence == "deployed v1 (+9.0 %); 78% of 18 people's votes for it"
    assert platform.tracker.run_metrics(judged.candidate.snapshot.run_id)["ab/share"] == pytest.approx(14 / 18)


def test_what_people_do_not_prefer_is_kept_out_however_well_it_measured(
    platform: Platform, judged: Judged, asked: BlindSet
) -> None:
    vote(platform, asked, ["new"] * 9 + ["old"] * 11)
    kept = ask_people(platform, judged, can_wait=True)
    assert not kept.deploy
    assert kept.sentence == (
        "kept: 45% of 20 people's votes are for it, needs 60%; the gate alone would have deployed v1 (+9.0 %)"
    )


def test_a_run_that_nobody_goes_on_with_is_kept_and_says_how_to_go_on(platform: Platform, judged: Judged) -> None:
    kept = ask_people(platform, judged, can_wait=False)
    assert not kept.deploy
    assert "0 of 20 people's votes" in kept.sentence
    assert "`nabi review ab bot --adapter v1`, then `nabi promote`" in kept.sentence


def test_with_too_few_votes_for_too_long_it_is_kept(platform: Platform, judged: Judged) -> None:
    scores = platform.settings.state / "evaluations" / PERSONA / "bot--v1" / "scores.json"
    long_ago = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    now = scores.stat().st_mtime
    os.utime(scores, (long_ago, long_ago))
    kept = ask_people(platform, judged, can_wait=True)
    os.utime(scores, (now, now))
    assert kept.sentence.startswith("kept: only 0 of 20 people's votes on bot--v1 within 2 days")


def test_people_are_not_asked_where_it_makes_no_difference(platform: Platform, judged: Judged) -> None:
    refused = judged.model_copy(update={"deploy": False, "sentence": "kept: gain 1 %, needs 5 %"})
    assert ask_people(platform, refused, can_wait=True) == refused
    window = judged.candidate.window.model_copy(update={"line": "replay"})
    replayed = judged.model_copy(update={"candidate": judged.candidate.model_copy(update={"window": window})})
    assert ask_people(platform, replayed, can_wait=True) == replayed


def test_what_was_judged_against_another_champion_than_is_live_now_is_kept(platform: Platform, judged: Judged) -> None:
    """While people were asked, a later window deployed."""
    kept = ask_people(platform, judged.model_copy(update={"champion": "bot--v9"}), can_wait=True)
    assert not kept.deploy
    assert kept.sentence.startswith("kept: the bare base went live while people were asked about bot--v1")
