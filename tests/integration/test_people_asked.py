"""People have the last word on what the gate would deploy: a real evaluation, votes cast here and on the page."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import httpx
import pytest
import yaml
from browser import browser_page
from minute_base import build_tiny_base
from served_home import serving
from small_platform import NOON, plant_small_home

from nabi.errors import ConfigError
from nabi.evaluation.preference import Choice, Vote
from nabi.registry.leases import persona_lease
from nabi.steps import bootstrap, collect, conclude, evaluate, invitations, snapshot, train
from nabi.steps.blind import BlindSet, cast, open_set, read_votes, result
from nabi.steps.invitations import NotInvited, invite, read_ticket
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
        # Seconds of imports less, and none beside it.
        patch.setattr(train, "train_in_own_process", lambda job, report, meanwhile: train_adapter(job, report))
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


@pytest.fixture(scope="module")
def url(platform: Platform) -> Iterator[str]:
    with serving(platform) as found:
        yield found


def page_of(platform: Platform, url: str, asked: BlindSet, who: str) -> httpx.Client:
    """What the page sends for somebody who opened their link."""
    ticket = invite(platform, asked, PERSONA, 20, who)
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {ticket}"}, timeout=60)


def test_the_page_is_the_same_for_everybody_and_lets_nothing_else_in(url: str, judged: Judged) -> None:
    for name, kind in (("vote", "text/html"), ("vote.css", "text/css"), ("vote.js", "text/javascript")):
        answer = httpx.get(f"{url}/{name}", timeout=60)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert judged.candidate.adapter not in answer.text


def test_only_whom_a_link_invites_may_vote(platform: Platform, url: str, asked: BlindSet) -> None:
    operator = (platform.settings.state / "secrets" / "operator.token").read_text()
    ticket = invite(platform, asked, PERSONA, 20, "kim")
    body, _, signature = ticket.partition(".")
    changed = f"{body[:-2]}{'AA' if body[-2:] != 'AA' else 'BB'}.{signature}"
    for wrong in (operator, changed, body, f"{body}.", f".{signature}", "김"):
        headers = {"Authorization": f"Bearer {wrong}".encode()}
        assert httpx.get(f"{url}/v1/votes", headers=headers, timeout=60).status_code == 401
    assert httpx.get(f"{url}/v1/votes", timeout=60).status_code == 401
    allowed = {"Authorization": f"Bearer {ticket}"}
    assert httpx.get(f"{url}/v1/votes", headers=allowed, timeout=60).status_code == 200
    assert httpx.get(f"{url}/v1/models", headers=allowed, timeout=60).status_code == 401
    with pytest.raises(ConfigError, match="printable and short"):
        invite(platform, asked, PERSONA, 20, "kim\n")


def test_a_link_is_good_for_as_long_as_the_run_waits(
    platform: Platform, asked: BlindSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = invite(platform, asked, PERSONA, 20, "kim")
    assert read_ticket(platform, ticket).until - datetime.now(UTC) > timedelta(days=1.9)

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Later:
            return cls.fromtimestamp(time.time() + timedelta(days=2.1).total_seconds(), tz)

    monkeypatch.setattr(invitations, "datetime", Later)
    with pytest.raises(NotInvited, match="time to vote is over"):
        read_ticket(platform, ticket)


def test_the_page_never_tells_who_is_where_and_goes_on_where_somebody_was(
    platform: Platform, url: str, asked: BlindSet
) -> None:
    page, other = (page_of(platform, url, asked, who) for who in ("kim", "lee"))
    shown = page.get("/v1/votes").json()
    sides = []
    for number, pair in enumerate(asked.pairs, 1):
        assert (shown["number"], shown["done"], shown["total"]) == (number, number - 1, 20)
        assert (shown["left"], shown["right"], shown["chosen"]) == (pair.left, pair.right, None)
        assert shown["turns"][-1]["content"] == asked.samples[pair.sample_id].question
        # Everything but the two answers is the same whichever side the candidate stands on.
        rest = json.dumps({key: value for key, value in shown.items() if key not in ("left", "right")})
        assert not any(told in rest for told in (pair.sample_id, asked.old, asked.new, "left", "new"))
        sides.append("left" if number <= 15 else "tie")
        sent = {"number": number, "edition": shown["edition"], "side": sides[-1]}
        shown = page.post("/v1/votes", json=sent).json()
        if number == 3:  # closed and opened again
            assert page_of(platform, url, asked, "kim").get("/v1/votes").json() == shown
            assert other.get("/v1/votes").json()["done"] == 0
    assert (shown["number"], shown["done"]) == (None, 20)
    votes = read_votes(asked.votes_file)
    assert [vote.choice for vote in votes] == [
        pair.choice_of(side) for pair, side in zip(asked.pairs, sides, strict=True)
    ]
    metrics = platform.tracker.run_metrics(asked.run_id)
    assert (metrics["ab/votes"], metrics["ab/ties"]) == (20, 5)


def test_a_vote_can_be_changed_and_counts_once(platform: Platform, url: str, asked: BlindSet) -> None:
    page = page_of(platform, url, asked, "kim")
    shown = page.get("/v1/votes").json()
    for side in ("left", "right"):
        page.post("/v1/votes", json={"number": 1, "edition": shown["edition"], "side": side})
    again = page.get("/v1/votes", params={"number": 1}).json()
    assert (again["chosen"], again["done"]) == ("right", 1)
    assert result(platform, asked).num_votes == 1


def test_a_vote_on_what_was_shown_before_the_prompts_changed_is_refused(
    platform: Platform, url: str, asked: BlindSet
) -> None:
    """A deletion takes prompts out, and what was the third may be the second then."""
    page = page_of(platform, url, asked, "kim")
    before = page.get("/v1/votes").json()["edition"]
    os.utime(asked.votes_file.with_name("scores.json"))
    sent = {"number": 1, "edition": before, "side": "left"}
    assert page.post("/v1/votes", json=sent).status_code == 409
    assert not asked.votes_file.exists()
    sent["edition"] = page.get("/v1/votes").json()["edition"]
    assert page.post("/v1/votes", json=sent).status_code == 200
    assert page.post("/v1/votes", json=sent | {"number": 21}).status_code == 404
    assert page.post("/v1/votes", json=sent | {"side": "new"}).status_code == 400


def test_in_a_browser_somebody_votes_by_keys_and_goes_on_after_a_reload(
    platform: Platform, url: str, asked: BlindSet, tmp_path: Path
) -> None:
    ticket = invite(platform, asked, PERSONA, 20, "kim")
    with browser_page(tmp_path / "profile") as page:
        page.open(f"{url}/vote#{ticket}")
        page.wait_for("!document.getElementById('prompt').hidden")
        assert page.value("document.title") == "어느 답이 더 좋은가요?"
        assert page.value("document.getElementById('left').textContent") == asked.pairs[0].left
        assert page.value("document.getElementById('right').textContent") == asked.pairs[0].right
        for done, key in enumerate(("1", "2", "="), 1):
            page.press(key)
            page.wait_for(f"document.getElementById('bar').value === {done}")
        page.press("ArrowLeft")
        page.wait_for("document.querySelector('[data-side=tie]').getAttribute('aria-pressed') === 'true'")
        page.press("1")
        page.wait_for("document.getElementById('place').textContent.startsWith('20개 가운데 4번째')")
        page.value("document.getElementById('language').click()")
        assert page.value("document.getElementById('place').textContent") == "4 of 20 · 3 chosen"
        page.open(f"{url}/vote#{ticket}")
        page.wait_for("document.getElementById('place').textContent === '4 of 20 · 3 chosen'")
        assert page.errors == []
        page.open(f"{url}/vote#{ticket[:-4]}")
        page.wait_for("document.getElementById('message').textContent.startsWith('This link is not good any more')")
        assert page.value("document.getElementById('prompt').hidden")
    sides = [(vote.sample_id, vote.choice) for vote in read_votes(asked.votes_file)]
    first, second, third = asked.pairs[:3]
    assert dict(sides) == {
        first.sample_id: first.choice_of("left"),
        second.sample_id: second.choice_of("right"),
        third.sample_id: third.choice_of("left"),
    }
