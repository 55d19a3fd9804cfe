"""What an operator sees of what is live, and what the page does about it; looked at in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import Page, browser_page
from served_home import Served, make_home, put_live, serving

from nabi.errors import TransientError
from nabi.registry.answers import AnswerRecord

PARTS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "vote": "text/html",
    "vote.css": "text/css",
    "vote.js": "text/javascript",
    "console": "text/html",
    "console.css": "text/css",
    "console.js": "text/javascript",
    "docs": "text/html",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
}


@pytest.fixture
def home(
    tmp_path: Path,
    tiny_base_dir: Path,
    trained_adapter: tuple[Any, Any],
    other_adapter: Any,
    empty_mlflow: Path,
) -> Iterator[Served]:
    """nabiyam's second version is live over its first, and has answered ten times."""
    platform = make_home(tmp_path / "home", tiny_base_dir.parent, requests_per_minute=100_000, watch_seconds=10_000)
    platform.settings.state.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    trained = {"nabiyam--v1": trained_adapter[1], "nabiyam--v2": other_adapter}
    digests = {version: adapter.digest for version, adapter in trained.items()}
    for number, (version, adapter) in enumerate(trained.items()):
        copy = tmp_path / version
        shutil.copytree(adapter.adapter_dir, copy)
        run_id = platform.tracker.open_run("nabiyam", f"pass {number}", {})
        assert platform.registry.register("nabiyam", run_id, copy, adapter.digest, tags={}).name == version
        put_live(platform, version, adapter.adapter_dir, adapter.digest)
    platform.answers.add(_answers("nabiyam--v2", digests["nabiyam--v2"]))
    platform.answers.react("answer-0", -1.0, datetime.now(UTC))
    with serving(platform) as url:
        yield Served(platform, url, digests)
    platform.database.close()


def _answers(version: str, digest: str) -> list[AnswerRecord]:
    return [
        AnswerRecord(
            answer_id=f"answer-{number}",
            persona_id="nabiyam",
            adapter_version=version,
            digest=digest,
            at=datetime.now(UTC) - timedelta(minutes=number),
            num_prompt_tokens=10,
            num_tokens=5,
            num_chars=20 + number,
            ended="stop",
            seconds=0.1 * (number + 1),
            seconds_to_first=0.1,
            violations=("repetition",) if number < 3 else (),
        )
        for number in range(10)
    ]


def test_the_pages_parts_are_the_same_for_everybody(served: Served) -> None:
    for name, kind in PARTS.items():
        answer = httpx.get(f"{served.url}/{name}", timeout=60)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "nabiyam" not in answer.text
    assert httpx.get(f"{served.url}/console.md", timeout=60).status_code == 404


def test_only_an_operator_sees_what_is_live(served: Served) -> None:
    for path in ("/v1/personas", "/v1/personas/nabiyam"):
        assert httpx.get(served.url + path, timeout=60).status_code == 401
        assert httpx.get(served.url + path, headers=served.headers("chat"), timeout=60).status_code == 403
    promotion = {"who": "kim", "why": "a test", "version": "nabiyam--v1"}
    for headers, status in (({}, 401), (served.headers("chat"), 403)):
        url = f"{served.url}/v1/personas/nabiyam/promote"
        assert httpx.post(url, json=promotion, headers=headers, timeout=60).status_code == status


def test_in_a_browser_every_route_is_described(served: Served, tmp_path: Path) -> None:
    with browser_page(tmp_path / "profile") as page:
        page.open(f"{served.url}/docs")
        _write(page, "token", served.token("chat"))
        page.value("document.querySelector('#login button').click()")
        page.wait_for("!document.getElementById('routes').hidden")
        described = httpx.get(f"{served.url}/openapi.json", headers=served.headers(), timeout=60).json()["paths"]
        shown = page.value("[...document.querySelectorAll('#routes summary code')].map((it) => it.textContent)")
        assert shown == [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]
        chat = "document.evaluate(\"//details[contains(., '/chat/completions')]\", document).iterateNext()"
        cells = "(row) => [...row.cells].map((cell) => cell.textContent)"
        fields = page.value(f"[...{chat}.querySelectorAll('tbody tr')].map({cells})")
        told = {name: (kind, about) for name, kind, about in fields}
        assert told["frequency_penalty"][0] == "number ≥ -2 ≤ 2"
        assert told["messages"][0].startswith("ChatMessage[]")
        assert "꼭 필요" in told["model"][1]
        page.value("document.getElementById('language').click()")
        assert page.value("document.title") == "What can be asked?"
        assert page.errors == []


def test_standings_and_measures(home: Served) -> None:
    operator = httpx.Client(base_url=home.url, headers=home.headers("operator"), timeout=60)
    everybody = {row["persona"]: row for row in operator.get("/v1/personas").json()}
    assert list(everybody) == ["bare", "mari", "nabiyam"]
    assert (everybody["bare"]["champion"], everybody["bare"]["previous"]) == (None, None)
    assert (everybody["nabiyam"]["champion"], everybody["nabiyam"]["previous"]) == ("nabiyam--v2", "nabiyam--v1")
    one = operator.get("/v1/personas/nabiyam").json()
    now, before = one["measures"]
    assert (now["version"], now["role"], now["num_answers"]) == ("nabiyam--v2", "champion", 10)
    assert now["broke_a_rule"] == pytest.approx(0.3)
    assert now["seconds"] == pytest.approx(0.55)
    assert now["slow_seconds"] == pytest.approx(0.9)
    assert (now["num_chars"], now["liked"], now["disliked"]) == (24.5, 0, 1)
    assert (before["version"], before["num_answers"], before["seconds"]) == ("nabiyam--v1", 0, None)
    assert [change["version"] for change in one["changes"]] == ["nabiyam--v2", "nabiyam--v1"]
    assert (everybody["mari"]["doing"], everybody["mari"]["failed"]) == (None, False)
    home.platform.journal.start("mari", datetime(2026, 7, 1, 3, tzinfo=UTC))
    home.platform.progress.note("mari", datetime(2026, 7, 1, 3, tzinfo=UTC), stage="gate", percent=97, told="deciding")
    doing = operator.get("/v1/personas/mari").json()["doing"]
    assert (doing["stage"], doing["percent"], doing["told"]) == ("gate", 97, "deciding")
    assert operator.get("/v1/personas/nobody").status_code == 400
    # Who began and ended a trial, and why, is told too.
    trial = {"who": "kim", "why": "a look", "candidate": "nabiyam--v1", "share": 10}
    assert operator.post("/v1/personas/nabiyam/rollout", json=trial).status_code == 200
    assert operator.post("/v1/personas/nabiyam/rollback", json={"who": "lee", "why": "rude"}).status_code == 200
    changes = operator.get("/v1/personas/nabiyam").json()["changes"]
    assert [(it["action"], it["version"], it["share"], it["who"], it["why"]) for it in changes[:2]] == [
        ("trial_stopped", "nabiyam--v1", None, "lee", "rude"),
        ("trial", "nabiyam--v1", 10, "kim", "a look"),
    ]


def test_promoted_by_hand_over_http(home: Served) -> None:
    operator = httpx.Client(base_url=home.url, headers=home.headers("operator"), timeout=60)
    said = {"who": "kim", "why": "the old one was better"}
    promoted = operator.post("/v1/personas/nabiyam/promote", json=said | {"version": "nabiyam--v1"})
    assert promoted.json() == {"champion": "nabiyam--v1", "previous": "nabiyam--v2"}
    assert operator.get("/v1/live").json()["routes"]["nabiyam"]["adapter"] == "nabiyam--v1"
    for wrong in ("mari--v1", "nabiyam--v9", "v1", "nabiyam"):
        refused = operator.post("/v1/personas/nabiyam/promote", json=said | {"version": wrong})
        assert refused.status_code == 400, refused.text
    newest = home.platform.ledger.history("nabiyam")[-1]
    assert (newest.action, newest.who, newest.why) == ("promote", "kim", "the old one was better")


def test_in_a_browser_an_operator_ends_a_trial_and_rolls_back(home: Served, tmp_path: Path) -> None:
    version = "nabiyam--v1"
    home.platform.rollouts.start("nabiyam", version, home.digests[version], 10, who="kim", why="a look")
    noon = datetime(2026, 7, 1, 3, tzinfo=UTC)
    home.platform.journal.start("mari", noon)
    home.platform.progress.note("mari", noon, stage="train", percent=43.2, told="step 12 of 52")
    with browser_page(tmp_path / "profile") as page:
        page.open(f"{home.url}/console#nabiyam")
        _write(page, "token", "wrong")
        page.value("document.querySelector('#login button').click()")
        page.wait_for("document.getElementById('message').textContent.includes('이 토큰으로는')")
        assert page.errors == ["Failed to load resource: the server responded with a status of 401 (Unauthorized)"]
        page.errors.clear()
        _write(page, "token", home.token("operator"))
        page.value("document.querySelector('#login button').click()")
        page.wait_for("!document.getElementById('one').hidden")
        assert page.value("document.querySelectorAll('#personas tbody tr').length") == 3
        mari = "document.querySelector('[data-persona=mari]').closest('tr').lastChild"
        assert page.value(f"{mari}.querySelector('progress').value") == pytest.approx(43.2)
        assert page.value(f"{mari}.textContent").startswith(" 43 % · 학습하는 중step 12 of 52 · ")
        home.platform.journal.finish("mari", noon, "failed", "failed: no space")
        page.wait_for(f"{mari}.className === 'failed' && {mari}.textContent === '실패failed: no space'")
        later = noon + timedelta(hours=6)
        home.platform.journal.start("mari", later)
        sentence = "kept: gain -1.2 %, needs 5 %"
        home.platform.journal.finish("mari", later, "kept", sentence, figures={"gain": -0.0123})
        page.wait_for(f"{mari}.className === '' && {mari}.textContent === '지금 버전 유지 · −1.2 %{sentence}'")
        assert page.value("document.getElementById('rollback').textContent") == "nabiyam--v1 시험 끝내기"
        _carry_out(page, "rollback")
        page.wait_for("document.getElementById('rollback').textContent === 'nabiyam--v1로 되돌리기'")
        page.value("document.getElementById('language').click()")
        assert page.value("document.getElementById('rollback').textContent") == "Roll back to nabiyam--v1"
        # Nothing happens before somebody says why, nor after "Cancel".
        page.value("document.getElementById('rollback').click()")
        page.value("document.getElementById('yes').click()")
        assert page.value("document.getElementById('sure').open")
        page.value("document.getElementById('no').click()")
        page.wait_for("!document.getElementById('sure').open")
        assert home.platform.ledger.history("nabiyam")[-1].action == "deploy"
        _carry_out(page, "rollback")
        page.wait_for("document.getElementById('message').textContent === 'Rolled back.'")
        page.wait_for("document.getElementById('name').textContent === '나비얌 · nabiyam--v1'")
        assert page.value("sessionStorage.getItem('nabi-operator')") == home.token("operator")
        assert page.errors == []
    newest = home.platform.ledger.history("nabiyam")[-1]
    assert (newest.action, newest.champion, newest.who, newest.why) == ("rollback", version, "lee", "no <b>good</b>")
    assert home.platform.rollouts.running("nabiyam") is None


def test_in_a_browser_an_operator_sees_what_the_server_fails_at(
    tmp_path: Path, tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_platform: object) -> None:
        raise TransientError("a training is at work.")

    monkeypatch.setattr("nabi.server.app.finish_pending", away)
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    (platform.settings.personas / "hana.yaml").write_text("id: [")
    with serving(platform) as url, browser_page(tmp_path / "profile") as page:
        page.open(f"{url}/console")
        _write(page, "token", Served(platform, url, {}).token("operator"))
        page.value("document.querySelector('#login button').click()")
        lines = "[...document.querySelectorAll('#troubles li')].map((it) => it.textContent)"
        page.wait_for(f"{lines}.length === 2")
        work, hana = page.value(lines)
        assert work == "지워 달라는 말을 지우지 못하고 있어요: a training is at work."
        assert hana.startswith("hana: 답할 수 없어요. is not plain YAML")
        page.value("document.getElementById('language').click()")
        work, _ = page.value(lines)
        assert work == "The server fails at deleting what is to be forgotten: a training is at work."
        assert page.errors == []
    platform.database.close()


def _write(page: Page, field: str, text: str) -> None:
    page.wait_for(f"document.getElementById('{field}').offsetParent !== null")
    page.value(f"document.getElementById('{field}').value = {text!r}")


def _carry_out(page: Page, what: str) -> None:
    page.value(f"document.getElementById('{what}').click()")
    _write(page, "who", "lee")
    _write(page, "why", "no <b>good</b>")
    page.value("document.getElementById('yes').click()")
