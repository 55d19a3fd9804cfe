"""A judge's opinion of two contenders, asked of a real server over HTTP; every way in which it can be missing."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from judge_server import Rule, RuledServer, ruled_server
from small_platform import NOON, plant_small_home

from nabi.evaluation.gate import Contender
from nabi.evaluation.score import PromptScore
from nabi.settings import Settings
from nabi.steps import bootstrap, collect, conclude, snapshot
from nabi.steps.blind import JUDGED, VOTES, read_votes, samples_of
from nabi.steps.second_opinion import ask_judge
from nabi.steps.window import Candidate, Scored, Window
from nabi.wiring import Platform

PERSONA = "bot"
GOOD, BAD = "네, 있어요! 좋은 것", "네, 있어요. 나쁜 것"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Scored]:
    """A dataset version as the loop makes it, and scores of a candidate that is better everywhere."""
    folder = tmp_path_factory.mktemp("judge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        planted = plant_small_home(folder / "home", PERSONA, base=folder / "no-base", num=100)
        shutil.copyfile(empty_mlflow, planted.settings.state / "mlflow.db")
        declared = planted.settings.personas / f"{PERSONA}.yaml"
        rules = yaml.safe_load(declared.read_text())
        rules["evaluation"] |= {"anchors": 40, "holdout_share": 0.35}
        declared.write_text(yaml.safe_dump(rules, allow_unicode=True))
        window = Window(persona_id=PERSONA, as_of=NOON)
        assert collect.open_window(planted, window) is None
        filled = bootstrap.fill_up(planted, collect.keep_usable(planted, collect.collect(planted, window)))
        taken = snapshot.take_snapshot(planted, filled)
        candidate = Candidate(
            window=window,
            snapshot=taken,
            adapter="bot--v1",
            digest="d" * 64,
            train_loss=0.1,
            holdout_loss=0.1,
            seconds=1.0,
        )
        path = planted.settings.state / "evaluations" / PERSONA / "bot--v1" / "scores.json"
        path.parent.mkdir(parents=True)
        samples = list(samples_of(planted, PERSONA, taken.version))
        measured = {
            name: Contender(name=name, scores=tuple(_score(sample, answer, quality) for sample in samples))
            for name, answer, quality in (("base", BAD, 0.6), ("bot--v1", GOOD, 0.9))
        }
        path.write_text(json.dumps({name: one.model_dump(mode="json") for name, one in measured.items()}))
        yield Scored(candidate=candidate, opponent="base", champion=None, scores=path)


def _score(sample_id: str, answer: str, quality: float) -> PromptScore:
    # A word of its own in each answer: equal ones are not compared.
    text = f"{answer} {sample_id[:4]}"
    figures = {"reference_logprob": -1.0, "reference_tokens": 4.0}
    return PromptScore(
        sample_id=sample_id,
        group="anchor",
        kind="menu",
        answer=text,
        parts={"form": quality},
        quality=quality,
        details=figures,
    )


def with_judge(scored: Scored, url: str, **rules: Any) -> Platform:
    """The installation, its persona with a judge."""
    home = scored.scores.parents[4]
    declared = home / "personas" / f"{PERSONA}.yaml"
    persona = yaml.safe_load(declared.read_text())
    persona["evaluation"]["judge"] = {"url": url, "model": "big", "prompts": 20, "seconds": 5, **rules}
    declared.write_text(yaml.safe_dump(persona, allow_unicode=True))
    return Platform(Settings(home=home, threads=1, judge_api_key="secret-key"))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def asked_of(scored: Scored, rule: Rule, **rules: Any) -> tuple[Platform, Scored, RuledServer]:
    with ruled_server(rule) as server:
        platform = with_judge(scored, server.url, **rules)
        return platform, ask_judge(platform, scored), server


def prefers_good(body: dict[str, Any]) -> str:
    question = body["messages"][0]["content"]
    return f"따져 보면 이래요.\n{1 if question.index(GOOD) < question.index(BAD) else 2}"


def test_both_orders_are_asked_and_what_it_prefers_stands_in_the_report(scored: Scored) -> None:
    platform, heard, server = asked_of(scored, prefers_good, required=True)
    assert heard.opinion is not None
    assert (heard.opinion.share, heard.opinion.num_prompts, heard.opinion.problem) == (1.0, 20, None)
    assert len(server.asked) == 40
    assert set(server.tokens) == {"Bearer secret-key"}
    assert {body["model"] for body in server.asked} == {"big"}
    assert all(body["temperature"] == 0 for body in server.asked)
    votes = read_votes(scored.scores.with_name(JUDGED))
    assert {(vote.who, vote.choice) for vote in votes} == {("big", "new")}
    assert platform.tracker.run_metrics(scored.candidate.snapshot.run_id)["judge/share"] == 1
    judged = conclude.judge(platform, heard)
    assert judged.deploy
    assert "No person has decided on anything" in report_of(platform, scored)
    people = "".join(
        vote.model_copy(update={"who": "kim", "choice": "new" if place < 15 else "old"}).model_dump_json() + "\n"
        for place, vote in enumerate(votes)
    )
    scored.scores.with_name(VOTES).write_text(people)
    _platform, again, _server = asked_of(scored, prefers_good)
    scored.scores.with_name(VOTES).unlink()
    assert again.opinion is not None
    assert (again.opinion.num_shared, again.opinion.agreed) == (20, 0.75)


def report_of(platform: Platform, scored: Scored) -> str:
    run = scored.candidate.snapshot.run_id
    return (platform.settings.mlruns / PERSONA / run / "artifacts" / "evaluation" / "gate.md").read_text()


def test_a_judge_that_always_says_first_has_no_word(scored: Scored) -> None:
    platform, heard, _server = asked_of(scored, lambda _body: "1", required=True)
    assert heard.opinion is not None
    assert (heard.opinion.num_contradicted, heard.opinion.share) == (20, None)
    judged = conclude.judge(platform, heard)
    assert not judged.deploy
    assert judged.sentence.startswith(
        "kept: the judge's word is required, and its word turned with the sides on 20 of 20 prompts; the gate alone "
    )
    report = report_of(platform, scored)
    assert "Its word is not to be relied on" in report
    assert judged.sentence in report


def test_what_it_does_not_prefer_is_kept_out_where_it_is_required(scored: Scored) -> None:
    def prefers_bad(body: dict[str, Any]) -> str:
        return "1" if prefers_good(body).endswith("2") else "2"

    platform, heard, _server = asked_of(scored, prefers_bad, required=True)
    assert conclude.judge(platform, heard).sentence.startswith(
        "kept: the judge prefers it in 0% of 20 decided comparisons, needs 50%"
    )
    platform, heard, _server = asked_of(scored, prefers_bad)
    assert conclude.judge(platform, heard).deploy
    assert "prefers the candidate in 0% of 20 decided ones" in report_of(platform, scored)


@pytest.mark.parametrize(
    ("rule", "told", "most_asked"),
    [
        (lambda _body: 500, "answered 500", 30),
        (lambda _body: 401, "answered 401", 8),
        (lambda _body: b"<html>", "another shape than a chat completion", 30),
        (lambda _body: b'{"choices": [{"message": {"content": null}}]}', "without a text", 30),
        (lambda _body: "둘 다 좋아요", "neither 1, 2 nor =", 30),
    ],
)
def test_what_is_wrong_with_it_is_told_and_breaks_nothing(
    scored: Scored, rule: Rule, told: str, most_asked: int
) -> None:
    platform, heard, server = asked_of(scored, rule, required=True)
    assert heard.opinion is not None
    assert heard.opinion.problem is not None
    assert heard.opinion.problem.startswith("it answered 0 of 20 comparisons (")
    assert told in heard.opinion.problem
    assert "secret-key" not in heard.opinion.problem
    assert len(server.asked) <= most_asked  # it does not go on for ever where nothing comes of it
    assert not conclude.judge(platform, heard).deploy
    declared = platform.persona(PERSONA).evaluation.judge
    assert declared is not None
    free = with_judge(scored, declared.url, required=False)
    assert conclude.judge(free, heard).deploy


def test_a_server_that_is_away_or_too_slow_counts_as_no_answer(scored: Scored) -> None:
    platform = with_judge(scored, "http://127.0.0.1:9/v1")
    heard = ask_judge(platform, scored)
    assert heard.opinion is not None
    assert "no answer from http://127.0.0.1:9/v1: ConnectionRefusedError" in str(heard.opinion.problem)

    def slow(_body: dict[str, Any]) -> str:
        real_sleep(0.5)
        return "1"

    _platform, heard, _server = asked_of(scored, slow, seconds=0.05)
    assert heard.opinion is not None
    assert "TimeoutError" in str(heard.opinion.problem)


real_sleep = time.sleep


def test_a_hiccup_is_asked_again(scored: Scored) -> None:
    failed: set[str] = set()

    def once_busy(body: dict[str, Any]) -> str | int:
        question = body["messages"][0]["content"]
        if question not in failed:
            failed.add(question)
            return 429
        return prefers_good(body)

    _platform, heard, _server = asked_of(scored, once_busy)
    assert heard.opinion is not None
    assert (heard.opinion.share, heard.opinion.problem) == (1.0, None)


def test_a_persona_without_a_judge_asks_nobody(scored: Scored) -> None:
    home = scored.scores.parents[4]
    declared = home / "personas" / f"{PERSONA}.yaml"
    persona = yaml.safe_load(declared.read_text())
    persona["evaluation"].pop("judge", None)
    declared.write_text(yaml.safe_dump(persona, allow_unicode=True))
    assert ask_judge(Platform(Settings(home=home, threads=1)), scored) == scored
