"""What stays of a chat, and who decides about it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_home import Served, make_home, serving
from waiting import wait_for

from nabi.conversations.keys import load_or_create_key, user_key
from nabi.conversations.records import Conversation
from nabi.database.engine import Database
from nabi.errors import TransientError


@pytest.fixture
def http(served: Served) -> httpx.Client:
    return httpx.Client(base_url=served.url, headers=served.headers("operator"), timeout=60)


def _chat(http: httpx.Client, user: str | None = None, question: str = "라면 먹고 싶어", **more: Any) -> dict[str, Any]:
    body = {"model": "nabiyam", "messages": [{"role": "user", "content": question}], "max_tokens": 12}
    answer = http.post("/v1/chat/completions", json=body | ({"user": user} if user else {}) | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _kept(served: Served, answer_id: str) -> Conversation | None:
    """The stored conversation of an answer, once its record has arrived."""
    wait_for(lambda: served.platform.answers.get(answer_id))
    return served.platform.store.get(f"chat/{answer_id}")


def test_every_answer_leaves_a_record_and_only_consented_words_stay(served: Served, http: httpx.Client) -> None:
    nobody = _chat(http)
    unasked = _chat(http, "unasked@example.com")
    http.put("/v1/consents/yes@example.com", json={"training": True}).raise_for_status()
    http.put("/v1/consents/child@example.com", json={"training": True, "age": 9}).raise_for_status()
    agreed = _chat(http, "yes@example.com", facts=[{"가게": "봄분식"}])
    child = _chat(http, "child@example.com")
    for said in (nobody, unasked, child):
        assert _kept(served, said["id"]) is None
    kept = _kept(served, agreed["id"])
    assert kept is not None
    assert [message.content for message in kept.messages] == [
        "라면 먹고 싶어",
        agreed["choices"][0]["message"]["content"],
    ]
    assert kept.facts == ({"가게": "봄분식"},)
    assert kept.adapter_version == "nabiyam--v1"
    assert kept.consent.training
    key = load_or_create_key(served.platform.settings.state / "secrets" / "user.key")
    assert kept.user_key == user_key("yes@example.com", key)
    record = served.platform.answers.get(nobody["id"])
    assert record is not None
    assert (record.adapter_version, record.digest) == ("nabiyam--v1", served.digests["nabiyam--v1"])
    assert record.num_tokens == nobody["usage"]["completion_tokens"]
    assert record.seconds >= record.seconds_to_first > 0


def test_a_streamed_answer_is_kept_too(served: Served, http: httpx.Client) -> None:
    http.put("/v1/consents/yes@example.com", json={"training": True}).raise_for_status()
    body = {"model": "mari", "messages": [{"role": "user", "content": "출항?"}], "max_tokens": 12, "stream": True}
    text = http.post("/v1/chat/completions", json=body | {"user": "yes@example.com"}).text
    events = [json.loads(line[6:]) for line in text.split("\n\n") if line and line != "data: [DONE]"]
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    kept = _kept(served, events[0]["id"])
    assert kept is not None
    assert kept.messages[-1].content == said


def test_a_reaction_reaches_record_and_conversation(served: Served, http: httpx.Client) -> None:
    http.put("/v1/consents/yes@example.com", json={"training": True}).raise_for_status()
    said = _chat(http, "yes@example.com", "김밥 먹고 싶어")
    told = http.post("/v1/feedback", json={"answer_id": said["id"], "rating": -1}).json()
    assert told == {"answer_id": said["id"], "rating": -1, "conversation_kept": True}
    kept = _kept(served, said["id"])
    assert kept is not None
    assert kept.feedback == served.platform.answers.reaction(said["id"]) == -1
    bare = _chat(http, model="bare")
    for rating in (1, 0):
        http.post("/v1/feedback", json={"answer_id": bare["id"], "rating": rating}).raise_for_status()
    shown = [line for line in http.get("/metrics").text.splitlines() if line.startswith("nabi_reactions_total")]
    assert sorted(shown) == [
        'nabi_reactions_total{persona="bare",reaction="good",version="minute"} 1.0',
        'nabi_reactions_total{persona="bare",reaction="neutral",version="minute"} 1.0',
        'nabi_reactions_total{persona="nabiyam",reaction="bad",version="nabiyam--v1"} 1.0',
    ]
    assert http.post("/v1/feedback", json={"answer_id": "chatcmpl-0", "rating": 1}).status_code == 404
    assert http.post("/v1/feedback", json={"answer_id": said["id"], "rating": 2}).status_code == 400


def test_a_withdrawal_stops_the_keeping_at_once(served: Served, http: httpx.Client) -> None:
    http.put("/v1/consents/maybe@example.com", json={"training": True}).raise_for_status()
    before = _chat(http, "maybe@example.com", "하나")
    assert _kept(served, before["id"]) is not None
    told = http.put("/v1/consents/maybe@example.com", json={"training": False}).json()
    assert not told["training"]
    after = _chat(http, "maybe@example.com", "둘")
    assert _kept(served, after["id"]) is None
    assert _kept(served, before["id"]) is not None  # consent covered it when it was said
    wait_for(lambda: http.get(f"/v1/requests/{told['request']}").json()["state"] == "done")


def test_a_deleted_user_is_gone_and_the_report_tells_it(served: Served, http: httpx.Client) -> None:
    http.put("/v1/consents/gone@example.com", json={"training": True}).raise_for_status()
    said = _chat(http, "gone@example.com", "나를 잊어 줘")
    key = user_key("gone@example.com", load_or_create_key(served.platform.settings.state / "secrets" / "user.key"))
    refused = [served.platform.settings.state / "spool" / f"refused-{number}.jsonl" for number in range(2)]
    for path, whose in zip(refused, (key, "somebody else's"), strict=True):
        path.write_text(json.dumps({"conversation": {"user_key": whose}}))
    told = http.delete("/v1/users/gone@example.com")
    assert told.status_code == 202
    number = told.json()["request"]
    done = wait_for(lambda: (found := http.get(f"/v1/requests/{number}").json())["state"] == "done" and found)
    assert {"place": "database", "name": "conversations", "num": 1} in done["deleted"]
    assert {"place": "state folder", "name": "spool/refused-0.jsonl", "num": 1} in done["deleted"]
    assert [path.exists() for path in refused] == [False, True]
    assert served.platform.store.get(f"chat/{said['id']}") is None
    assert _kept(served, _chat(http, "gone@example.com")["id"]) is None
    assert http.get("/v1/requests/999999").status_code == 404


ROW = {
    "timestamp": "2026-07-01T09:00:00+09:00",
    "messages": [{"role": "user", "content": "라면?"}, {"role": "assistant", "content": "봄분식 어때요?"}],
    "consent": True,
}


def test_other_systems_bring_conversations(served: Served, http: httpx.Client) -> None:
    row = ROW | {"conversation_id": "log-1"}
    body = json.dumps(row) + "\n" + '{"broken": true}\n'
    for content_type in ("application/json", "application/x-ndjson", "text/plain"):
        told = http.post(
            "/v1/conversations?persona=nabiyam", content=body, headers={"Content-Type": content_type}
        ).json()
        assert told["new"] + told["known"] == 1
        assert [refused["line"] for refused in told["refused_rows"]] == [2]
    assert served.platform.store.get("log-1") is not None
    search = {"request_id": "r1", "timestamp": row["timestamp"], "user_query": "예약?", "llm_response_content": "돼요."}
    told = http.post("/v1/search-logs?persona=bare", json=[search | {"consent": True}]).json()
    assert (told["new"], told["personas"]) == (1, {"bare": 1})
    told = http.post("/v1/meetings", content="김철수: 네, 좋습니다.\n이영희: 시작할까요?\n").json()
    assert told["read_as"] == "plain text transcript"
    assert told["refused"] == 2  # nobody here is known by these names
    assert http.post("/v1/conversations?persona=nobody", content=body).status_code == 400
    assert list((served.platform.settings.state / "inbox").iterdir()) == []


def test_a_delivery_comes_again_when_a_broken_persona_file_is_mended(served: Served, http: httpx.Client) -> None:
    row = ROW | {"conversation_id": "log-2"}
    broken = served.platform.settings.personas / "hana.yaml"
    broken.write_text("id: [")
    told = http.post("/v1/conversations?persona=nabiyam", json=[row])
    broken.unlink()
    assert (told.status_code, told.headers["Retry-After"]) == (503, "5")
    assert str(broken.parent) not in told.text
    assert served.platform.store.get("log-2") is None
    assert http.post("/v1/conversations?persona=nabiyam", json=[row]).json()["new"] == 1


def _id_once_ended(http: httpx.Client, body: dict[str, Any]) -> str:
    """The id of a streamed answer, as soon as it says that it has ended; nothing behind that is waited for."""
    body |= {"messages": [{"role": "user", "content": "라면?"}], "max_tokens": 12}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            event = json.loads(line[6:]) if line.startswith("data: {") else None
            if event and event["choices"][0]["finish_reason"]:
                return str(event["id"])
    raise AssertionError("it never ended")


def _waiting(spool: Path) -> str:
    """What lies on the disk at this moment. The server renames its files while one looks."""
    while True:
        try:
            return "".join(path.read_text() for path in spool.iterdir())
        except FileNotFoundError:
            continue


def test_chat_goes_on_while_the_database_is_away_and_nothing_is_lost(
    tmp_path: Path, tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    with serving(platform) as url:
        token = (platform.settings.state / "secrets" / "operator.token").read_text()
        http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        http.put("/v1/consents/yes@example.com", json={"training": True}).raise_for_status()
        first = _chat(http, "yes@example.com")

        def away(*_args: object, **_options: object) -> None:
            raise TransientError("the database is away.")

        with monkeypatch.context() as patch:
            patch.setattr(Database, "write", away)
            patch.setattr(Database, "read", away)
            during = [_chat(http, "yes@example.com", f"질문 {number}") for number in range(3)]
            on_disk = _waiting(platform.settings.state / "spool")
            assert all(said["id"] in on_disk for said in during)  # a crash from here on loses none of them
            streamed = _id_once_ended(http, {"model": "nabiyam", "user": "yes@example.com", "stream": True})
            assert streamed in _waiting(platform.settings.state / "spool")
            assert http.post("/v1/feedback", json={"answer_id": first["id"], "rating": 1}).status_code == 503
            wait_for(lambda: http.get("/readyz").json()["ledger"] == "away")
            assert http.get("/readyz").status_code == 200
            wait_for(lambda: "spool" in http.get("/readyz").json()["in_trouble"])
            assert "the database is away." in http.get("/v1/live").json()["in_trouble"]["spool"]
            assert 'nabi_in_trouble{work="spool"} 1.0' in http.get("/metrics").text
        wait_for(lambda: http.get("/readyz").json()["in_trouble"] == [])
        assert 'nabi_in_trouble{work="spool"} 0.0' in http.get("/metrics").text
        for said in (first, *during):
            wait_for(lambda said=said: platform.answers.get(said["id"]))
            assert platform.store.get(f"chat/{said['id']}") is not None
    assert platform.store.before("nabiyam", datetime.now(UTC))[0].conversation_id == f"chat/{first['id']}"
