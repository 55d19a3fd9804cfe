"""A candidate on trial: what it keeps from starting, and how its share grows by the plan until it is live."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from small_platform import NOON
from taught_platform import taught_platform

from nabi.personas.model import RolloutPlan
from nabi.registry.answers import AnswerRecord
from nabi.registry.rollouts import Rollout
from nabi.steps import bootstrap, collect, conclude, evaluate, go_live, snapshot, train
from nabi.steps.conclude import Judged
from nabi.steps.watch import watch
from nabi.steps.window import Window
from nabi.wiring import Platform

PERSONA = "bot"
BY = {"who": "test", "why": "a test"}
PLAN = RolloutPlan(shares=(10, 50), hours=0, answers=40, margin=0.3)
_numbers = count()


def judged_window(platform: Platform, as_of: datetime) -> Judged:
    window = Window(persona_id=PERSONA, as_of=as_of)
    assert collect.open_window(platform, window) is None
    filled = bootstrap.fill_up(platform, collect.keep_usable(platform, collect.collect(platform, window)))
    taken = snapshot.take_snapshot(platform, filled)
    candidate = train.train_candidate(platform, taken, None, lambda *_: None)
    return conclude.judge(platform, evaluate.evaluate_candidate(platform, candidate))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Platform]:
    with taught_platform(tmp_path_factory.mktemp("rollout"), PERSONA, empty_mlflow) as made:
        yield made


@pytest.fixture(scope="module")
def versions(platform: Platform) -> tuple[str, str]:
    """One version that is live, and one that was kept out while another was on trial."""
    first = judged_window(platform, NOON - timedelta(hours=8))
    assert conclude.deploy(platform, first).state == "deployed"
    second = judged_window(platform, NOON)
    platform.rollouts.start(PERSONA, f"{PERSONA}--v9", "9" * 64, 10, **BY)
    ending = conclude.deploy(platform, second)
    assert ending.state == "kept"
    assert ending.sentence.startswith(f"kept: {PERSONA}--v9 is on trial with 10 % of the sessions, and nothing else")
    return first.candidate.adapter, second.candidate.adapter


def answers(platform: Platform, version: str, num: int, *, violations: tuple[str, ...] = ()) -> None:
    platform.answers.add(
        AnswerRecord(
            answer_id=f"answer-{next(_numbers)}",
            persona_id=PERSONA,
            adapter_version=version,
            digest="d" * 64,
            at=datetime.now(UTC),
            num_prompt_tokens=100,
            num_tokens=20,
            num_chars=40,
            ended="stop",
            seconds=0.5,
            seconds_to_first=0.1,
            violations=violations,
        )
        for _ in range(num)
    )


def running(platform: Platform) -> Rollout:
    trial = platform.rollouts.running(PERSONA)
    assert trial is not None
    return trial


@pytest.mark.timeout(300)
def test_while_one_is_on_trial_nothing_else_goes_live_and_no_other_starts(
    platform: Platform, versions: tuple[str, str]
) -> None:
    live = platform.ledger.live(PERSONA)
    assert live is not None
    assert live.champion == versions[0]
    window = Window(persona_id=PERSONA, as_of=NOON + timedelta(hours=6))
    filled = bootstrap.fill_up(platform, collect.keep_usable(platform, collect.collect(platform, window)))
    why = bootstrap.why_not_train(platform, filled)
    assert why == f"skipped: {PERSONA}--v9 is on trial with 10 % of the sessions, so no other candidate starts"
    platform.rollouts.end(PERSONA, "stopped", **BY)
    assert bootstrap.why_not_train(platform, filled) is None


def test_a_planned_trial_grows_by_its_answers_until_it_is_live(platform: Platform, versions: tuple[str, str]) -> None:
    live, candidate = versions
    begun = go_live.try_out(platform, PERSONA, None, candidate=candidate, **BY)
    assert (begun.share, begun.plan) == (5, RolloutPlan())
    platform.rollouts.start(PERSONA, candidate, begun.digest, 10, plan=PLAN, **BY)
    answers(platform, live, 80)
    assert watch(platform, PERSONA) is None  # the candidate has said nothing yet
    answers(platform, candidate, 39)
    assert watch(platform, PERSONA) is None
    answers(platform, candidate, 1)
    assert watch(platform, PERSONA) == (
        f"{candidate} answers 50 % of the sessions now: 40 answers at 10 %, no measure worse by 30% with 95 % certainty"
    )
    assert (running(platform).share, running(platform).plan) == (50, PLAN)
    assert watch(platform, PERSONA) is None  # every share is earned anew
    answers(platform, candidate, 40)
    said = watch(platform, PERSONA)
    assert said is not None
    assert said.startswith(f"{candidate} is live: 40 answers at 50 %")
    assert platform.rollouts.running(PERSONA) is None
    newest = platform.ledger.history(PERSONA)[-1]
    assert (newest.action, newest.champion, newest.previous, newest.who) == (
        "promote",
        candidate,
        live,
        "the rollout's plan",
    )


def test_a_candidate_that_may_be_worse_stays_at_its_share(platform: Platform, versions: tuple[str, str]) -> None:
    worse, better = versions  # the one that was live goes on trial again
    digest = platform.registry.version(worse).digest
    platform.rollouts.start(PERSONA, worse, digest, 10, plan=PLAN, **BY)
    answers(platform, better, 60)
    answers(platform, worse, 32)
    answers(platform, worse, 8, violations=("length",))
    assert watch(platform, PERSONA) is None
    assert running(platform).share == 10


def test_a_share_given_by_hand_goes_on_by_hand(platform: Platform, versions: tuple[str, str]) -> None:
    worse, _ = versions
    digest = platform.registry.version(worse).digest
    platform.rollouts.start(PERSONA, worse, digest, 20, **BY)
    answers(platform, worse, 200)
    assert watch(platform, PERSONA) is None
    assert running(platform).share == 20


def test_promoting_another_version_ends_a_trial_without_calling_it_promoted(
    platform: Platform, versions: tuple[str, str]
) -> None:
    tried, live = versions
    assert running(platform).candidate == tried
    go_live.promote(platform, live, who="kim", why="it was better")
    assert platform.rollouts.running(PERSONA) is None
    last = platform.rollouts.history(PERSONA)[-1]
    assert (last.state, last.candidate, last.who, last.why) == ("stopped", tried, "kim", "it was better")
