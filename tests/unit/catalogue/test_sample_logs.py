"""The shipped logs of the four windows: what the script makes, and what may be learned from them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.catalogue.dialogues import KINDS
from nabi.catalogue.lookup import LOCAL_TIME, find_facts
from nabi.catalogue.workbook import read_workbook
from nabi.conversations.records import Conversation, Message
from nabi.conversations.sources.chat import read_chat_log
from nabi.conversations.sources.rows import Accepted, Delivery
from nabi.curation.chain import Curated, curate
from nabi.personas.load import load_persona

ROOT = Path(__file__).parents[3]
LOGS = ROOT / "examples" / "logs"
WINDOWS = (1, 2, 3, 4)
NIGHT = {"allergy", "coupon", "delivery"}
FIRST_END = datetime(2026, 7, 1, 12, tzinfo=LOCAL_TIME)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> dict[int, list[Row]]:
    return {n: [json.loads(line) for line in (LOGS / f"window-{n}.jsonl").open(encoding="utf-8")] for n in WINDOWS}


@pytest.fixture(scope="module")
def curated() -> dict[int, Curated]:
    """Each window's log through the reader and the filters that the loop uses."""
    persona = load_persona("nabiyam", ROOT / "personas")
    return {n: curate(_read(LOGS / f"window-{n}.jsonl"), persona) for n in WINDOWS}


def _read(path: Path) -> list[Conversation]:
    found = list(read_chat_log(path, Delivery(b"k" * 32)))
    assert all(isinstance(row, Accepted) for row in found)
    return [row.conversation for row in found if isinstance(row, Accepted)]


def test_script_makes_the_shipped_files_again(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "make_sample_logs.py"
    subprocess.run([sys.executable, str(script), "--out", str(tmp_path)], check=True, capture_output=True, timeout=120)
    for n in WINDOWS:
        name = f"window-{n}.jsonl"
        assert (tmp_path / name).read_bytes() == (LOGS / name).read_bytes(), f"run {script.name} and commit {name}"


def test_usable_conversations_are_thin_then_few_then_many(curated: dict[int, Curated]) -> None:
    assert [len(curated[n].kept) for n in WINDOWS] == [12, 25, 70, 398]


def test_each_window_has_rows_that_must_not_be_used(curated: dict[int, Curated]) -> None:
    assert [len(curated[n].refused) for n in WINDOWS] == [2, 4, 8, 14]
    reasons = {refusal.reason for n in WINDOWS for refusal in curated[n].refused}
    assert {"consent", "quality", "incomplete"} <= reasons


def test_rows_lie_in_the_six_hours_of_their_window(rows: dict[int, list[Row]]) -> None:
    for n in WINDOWS:
        end = FIRST_END + timedelta(hours=6 * (n - 1))
        moments = [datetime.fromisoformat(row["timestamp"]) for row in rows[n]]
        assert all(end - timedelta(hours=6) <= moment < end for moment in moments)
        assert moments == sorted(moments)


def test_only_the_night_brings_kinds_that_the_catalogue_dialogues_lack(rows: dict[int, list[Row]]) -> None:
    for n in (1, 2, 3):
        assert {row["kind"] for row in rows[n]} <= set(KINDS)
        assert {row["dataset_source"] for row in rows[n]} == {"chat"}
    counts = Counter(row["kind"] for row in rows[4])
    assert set(counts) == NIGHT
    assert min(counts.values()) >= 30
    assert {row["dataset_source"] for row in rows[4]} == {"operator"}


def test_what_was_shown_is_what_the_lookup_finds_at_that_moment(rows: dict[int, list[Row]]) -> None:
    catalogue = read_workbook(ROOT / "sample_data.xlsx").catalogue
    for row in (row for n in WINDOWS for row in rows[n]):
        turns = [Message(**message) for message in row["messages"]]
        place = max(place for place, turn in enumerate(turns) if turn.role == "user")
        now = datetime.fromisoformat(row["timestamp"])
        found = find_facts(catalogue, turns[place].content, turns[:place], now, 8000)
        assert [dict(fact) for fact in found.facts] == row["retrieved_items"]
        assert found.kind == row["kind"]


def test_no_two_children_ask_in_the_same_words(rows: dict[int, list[Row]]) -> None:
    asked = [tuple(m["content"] for m in row["messages"] if m["role"] == "user") for n in WINDOWS for row in rows[n]]
    assert len(set(asked)) == len(asked)
    ids = [row["conversation_id"] for n in WINDOWS for row in rows[n]]
    assert len(set(ids)) == len(ids)


def test_children_are_invented_and_nothing_personal_is_said(rows: dict[int, list[Row]]) -> None:
    for row in (row for n in WINDOWS for row in rows[n]):
        assert re.fullmatch(r"child-0[0-4]\d", row["user_id"])
        assert 8 <= row["user_age"] <= 17
        text = " ".join(message["content"] for message in row["messages"])
        assert not re.search(r"\d{7,}|\d{2,4}-\d{3,4}|@", text)


def test_consent_was_given_before_the_conversation(curated: dict[int, Curated]) -> None:
    for kept in (conversation for n in WINDOWS for conversation in curated[n].kept):
        assert kept.consent.guardian
        assert kept.consent.given_at is not None
        assert kept.consent.given_at <= kept.occurred_at


def test_operators_say_what_a_child_must_know(curated: dict[int, Curated]) -> None:
    for conversation in curated[4].kept:
        if not conversation.facts:
            assert "못 찾았어요" in conversation.messages[-1].content
            continue
        fact, answer = conversation.facts[0], conversation.messages[-1].content
        assert fact["가게"] in answer
        if conversation.kind == "allergy":
            assert "어른" in answer
            assert fact.get("주의", fact["알레르기"]) in answer
            assert ("다른 걸 골라요" in answer) == ("주의" in fact)
        elif conversation.kind == "coupon":
            assert fact["쿠폰"] in answer
            assert fact["할인"] in answer
        else:
            assert f"배달은 {fact['배달']}" in answer or f"배달 {fact['배달']}" in answer
            assert fact.get("배달비", "") in answer
