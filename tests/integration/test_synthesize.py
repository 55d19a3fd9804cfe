"""`nabi synthesize`: a teacher behind a real server over HTTP makes up questions and answers about items."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_server import Rule, RuledServer, ruled_server

from nabi.conversations.records import Conversation
from nabi.curation.chain import curate
from nabi.errors import ConfigError, DataError, TransientError
from nabi.integrations.openai_chat import ChatServer
from nabi.settings import Settings
from nabi.steps import synthesize as step
from nabi.steps.synthesize import Synthesis, synthesize
from nabi.wiring import Platform

ROOT = Path(__file__).resolve().parents[2]
PERSONA = "search-assistant"
ITEMS = ROOT / "examples/search/items.jsonl"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(Settings(home=tmp_path, personas_dir=ROOT / "personas", teacher_api_key="teacher-secret"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between two tries are no part of what is tested."""
    monkeypatch.setattr(step.time, "sleep", lambda _seconds: None)


def _item_of(body: dict[str, Any]) -> str:
    found = re.search(r"- 이름: ([^|]+?) \|", body["messages"][0]["content"])
    assert found
    return found[1]


def _good(body: dict[str, Any]) -> str:
    """Two fit pairs in a block of code behind a thought, as models like to reply."""
    name = _item_of(body)
    pairs = [
        {"question": f"{name} 같은 도구가 필요해요", "answer": f"{name}를 추천합니다. 찾으시는 일에 맞는 도구입니다."},
        {"question": f"{name}는 무료인가요?", "answer": f"{name}의 요금은 참고 정보에 없어 알 수 없습니다."},
    ]
    lines = "\n".join(json.dumps(pair, ensure_ascii=False) for pair in pairs)
    return f'<think>{{"question": "x", "answer": "y"}}</think>네, 지어 보겠습니다.\n```json\n{lines}\n```'


def _make(platform: Platform, served: RuledServer, items: Path = ITEMS, **more: Any) -> Synthesis:
    key = platform.settings.teacher_api_key
    teacher = ChatServer(served.url, "solar-ko", 30, key.get_secret_value() if key else None)
    settings: dict[str, Any] = {"num": 2, "beside": 2, "out": platform.settings.home / "made.jsonl", "merge": True}
    return synthesize(platform, items, PERSONA, teacher, **(settings | more))


def _stored(platform: Platform) -> list[Conversation]:
    rows = [json.loads(line) for line in (platform.settings.home / "made.jsonl").read_text().splitlines()]
    found = [platform.store.get(row["id"]) for row in rows]
    return [conversation for conversation in found if conversation is not None]


def test_pairs_are_asked_for_cleaned_and_merged(platform: Platform) -> None:
    with ruled_server(_good) as served:
        done = _make(platform, served)
    num = done.num_items
    assert num == len(ITEMS.read_text().splitlines()) > 3
    assert done.merged is not None
    assert (done.num_kept, done.merged.accepted, done.merged.refused) == (2 * num, 2 * num, [])
    assert set(served.tokens) == {"Bearer teacher-secret"}
    asked = served.asked[0]
    assert (asked["model"], asked["temperature"]) == ("solar-ko", 0)
    persona = platform.persona(PERSONA)
    assert persona.system_prompt in asked["messages"][0]["content"]
    stored = _stored(platform)
    assert len(stored) == 2 * num
    for conversation in stored:
        assert (conversation.source, conversation.persona_id) == ("agents", PERSONA)
        assert set(conversation.style_tags) == {"synthetic", "teacher=solar-ko"}
        assert conversation.basis is not None
        # The right item is among three, as a search finds more than that.
        names = [fact["이름"] for fact in conversation.facts]
        assert len(set(names)) == 3
        assert [name for name in names if name in conversation.messages[-1].content]
    assert len({[fact["이름"] in one.messages[-1].content for fact in one.facts].index(True) for one in stored}) > 1
    assert curate(stored, persona).counts.get("kept", 0) > 0  # what the loop's own filters make of them


def test_what_is_not_fit_is_left_out_and_counted(platform: Platform, tmp_path: Path) -> None:
    items = tmp_path / "one.jsonl"
    items.write_text('{"name": "모아노트", "description": "회의 음성을 받아 적는 회의록 도구입니다.", "price": 5000}\n')
    fit = {"question": "회의록 도구 있어요?", "answer": "모아노트를 추천합니다. 회의 음성을 받아 적습니다."}

    def pair(**changes: str) -> dict[str, str]:
        return fit | {"question": f"{changes.get('answer', '')[:12]} 어때요?"} | changes

    made = [
        fit,
        fit | {"question": "회의록 도구, 있어요??"},
        pair(answer="그 도구를 추천합니다. 회의 음성을 받아 적습니다."),
        pair(answer="모아노트는 한 달에 9,900원입니다. 회의 음성을 받아 적습니다."),
        pair(answer="모아노트입니다."),
        pair(question="누구세요?", answer="저는 인공지능 언어 모델로서 모아노트를 추천합니다. 받아 적습니다."),
        pair(answer="모아노트를 추천합니다.\u0007 회의 음성을 받아 적습니다."),
        pair(question="Is there a tool that writes minutes for me?"),
        pair(answer="모아노트는 5,000원입니다. 회의 음성을 받아 적습니다."),
    ]
    with ruled_server(lambda _body: json.dumps({"pairs": made})) as served:
        done = _make(platform, served, items, beside=0)
    assert done.num_kept == 2
    assert done.reasons == {
        "a question asked before": 1,
        "an answer that does not name the item": 1,
        "an answer that claims what the item does not say": 1,
        "an answer too short or too long": 1,
        "breaks a rule: meta_leak": 1,
        "damaged text": 1,
        "a question in another language": 1,
    }
    assert {one.messages[-1].content for one in _stored(platform)} == {fit["answer"], made[-1]["answer"]}


def test_an_interrupted_call_goes_on_with_what_is_missing(platform: Platform) -> None:
    first_item = json.loads(ITEMS.read_text().splitlines()[0])["name"]

    def then_away(body: dict[str, Any]) -> str | int:
        return _good(body) if _item_of(body) == first_item else 503

    with ruled_server(then_away) as served, pytest.raises(TransientError, match="the teacher is away"):
        _make(platform, served)
    out = platform.settings.home / "made.jsonl"
    first = out.read_text()
    assert first.count("\n") == 2
    out.write_text(first + '{"id": "torn')  # killed while it wrote
    with ruled_server(_good) as served:
        done = _make(platform, served)
    assert first_item not in {_item_of(body) for body in served.asked}
    assert (done.num_known, done.num_kept) == (1, 2 * (done.num_items - 1))
    assert out.read_text().startswith(first)
    assert len(_stored(platform)) == 2 * done.num_items
    with ruled_server(_good) as served:
        again = _make(platform, served)
    assert (served.asked, again.num_kept) == ([], 0)
    assert again.merged is not None
    assert (again.merged.accepted, again.merged.known) == (0, 2 * done.num_items)


def test_a_reply_without_a_pair_is_counted_and_one_silent_item_stops_nothing(platform: Platform) -> None:
    first = json.loads(ITEMS.read_text().splitlines()[0])["name"]
    second = json.loads(ITEMS.read_text().splitlines()[1])["name"]

    def rule(body: dict[str, Any]) -> str | int:
        name = _item_of(body)
        return 500 if name == first else "모르겠습니다." if name == second else _good(body)

    with ruled_server(rule) as served:
        done = _make(platform, served, merge=False)
    assert done.unanswered == [first]
    assert done.reasons == {"a reply without a pair": 1}
    assert done.merged is None
    assert (
        platform.store.get(json.loads((platform.settings.home / "made.jsonl").read_text().splitlines()[0])["id"])
        is None
    )


def test_what_cannot_be_done_is_said_before_anybody_is_asked(platform: Platform, tmp_path: Path) -> None:
    with ruled_server(_good) as served:
        teacher = ChatServer(served.url, "solar-ko", 30)
        more: dict[str, Any] = {"num": 2, "beside": 0, "out": tmp_path / "made.jsonl", "merge": True}
        with pytest.raises(ConfigError, match="declares no basis to learn from what a model made up"):
            synthesize(platform, ITEMS, "nabiyam", teacher, **more)
        nothing = tmp_path / "nothing.jsonl"
        nothing.write_text('{"description": "이름이 없습니다."}\n{"name": "이름뿐"}\nno JSON\n')
        with pytest.raises(DataError, match="there is no item in it"):
            synthesize(platform, nothing, PERSONA, teacher, **more)
        (tmp_path / "made.jsonl").write_text("somebody's notes\n")
        with pytest.raises(DataError, match="holds something else"):
            synthesize(platform, ITEMS, PERSONA, teacher, **more)
    assert served.asked == []


@pytest.fixture
def refusing() -> Iterator[RuledServer]:
    rule: Rule = lambda body: _good(body) if body["model"] == "solar-ko" else 404  # noqa: E731
    with ruled_server(rule) as served:
        yield served


def test_the_command(tmp_path: Path, refusing: RuledServer) -> None:
    environment = os.environ | {
        "NABI_HOME": str(tmp_path),
        "NABI_PERSONAS_DIR": str(ROOT / "personas"),
        "NABI_TEACHER_API_KEY": "teacher-secret",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "COLUMNS": "200",
    }

    def nabi(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nabi.cli", "synthesize", str(ITEMS), "--persona", PERSONA, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    unknown = nabi("--model", "another", "--url", refusing.url)
    assert unknown.returncode == 1
    assert "answered 404 Look at --url, --model and NABI_TEACHER_API_KEY." in unknown.stderr
    done = nabi("--model", "solar-ko", "--url", f"{refusing.url}/", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pairs kept"] == told["new in the store"] == 2 * told["items"]
    assert (tmp_path / told["file"]).is_file()
    assert "teacher-secret" not in done.stdout + done.stderr + unknown.stderr
    secret = nabi("--model", "solar-ko", "--url", "http://me:word@127.0.0.1/v1")
    assert secret.returncode == 1
    assert "set NABI_TEACHER_API_KEY instead" in secret.stderr
