from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.ingest import UNUSABLE_ROW, ingest_file
from nabi.conversations.store import OTHER_CONTENT, ConversationStore
from nabi.database.engine import Database
from nabi.errors import ConfigError, DataError

KEY = b"k" * 32
START = datetime(2026, 7, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database)


def row(number: int, **changes: Any) -> str:
    values = {
        "conversation_id": f"c{number}",
        "persona_id": "nabiyam",
        "timestamp": (START + timedelta(minutes=number)).isoformat(),
        "user_id": f"u{number}",
        "messages": [{"role": "user", "content": "배고파"}, {"role": "assistant", "content": "김밥 어때요?"}],
    }
    return json.dumps(values | changes, ensure_ascii=False)


def log(tmp_path: Path, *lines: str, name: str = "log.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_every_row_is_accepted_known_or_refused(store: ConversationStore, tmp_path: Path) -> None:
    path = log(tmp_path, row(1), "{broken", row(2), row(1), row(2, kind="other"), row(3, feedback=7))
    report = ingest_file(path, "chat", store, None, KEY)
    assert (report.accepted, report.known) == (2, 1)
    assert [(item.line, item.field) for item in report.refused] == [(2, ""), (5, "conversation_id"), (6, "feedback")]
    assert OTHER_CONTENT in report.refused[1].reason
    assert [item.conversation_id for item in store.before("nabiyam", LATER)] == ["c1", "c2"]


def test_the_same_file_again_adds_nothing(store: ConversationStore, tmp_path: Path) -> None:
    path = log(tmp_path, *(row(number) for number in range(600)), "{broken", row(1, kind="other"))
    first = ingest_file(path, "chat", store, None, KEY)
    counts = store.counts("nabiyam")
    again = ingest_file(path, "chat", store, None, KEY)
    assert (first.accepted, first.known, len(first.refused)) == (600, 0, 2)
    assert (again.accepted, again.known, again.refused) == (0, 600, first.refused)
    assert store.counts("nabiyam") == counts
    assert len(store.list_set_apart()) == 2


def test_refused_rows_are_set_apart_with_their_place_and_content(store: ConversationStore, tmp_path: Path) -> None:
    path = log(tmp_path, row(1), row(2, feedback=7))
    ingest_file(path, "chat", store, "nabiyam", KEY)
    [apart] = store.list_set_apart("nabiyam")
    assert (apart.reason, apart.detail) == (UNUSABLE_ROW, "log.jsonl line 2: feedback: 7 is no number from -1 to 1")
    assert json.loads(apart.raw or "") == json.loads(row(2, feedback=7, user_id="(removed)"))
    assert apart.user_key is not None


def test_the_raw_user_id_never_reaches_the_store(store: ConversationStore, tmp_path: Path, database: Database) -> None:
    path = log(tmp_path, row(1, user_id="minji-kim"), row(2, user_id="minji-kim", feedback=7))
    ingest_file(path, "chat", store, None, KEY)
    stored = [item.model_dump_json() for item in store.before("nabiyam", LATER)]
    assert "minji-kim" not in repr([stored, store.list_set_apart()])
    [conversation] = store.before("nabiyam", LATER)
    assert conversation.user_key == store.list_set_apart()[0].user_key


def test_an_unknown_source_names_the_known_ones(store: ConversationStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chat"):
        ingest_file(log(tmp_path, row(1)), "fax", store, None, KEY)


def test_a_missing_file_is_a_data_error(store: ConversationStore, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        ingest_file(tmp_path / "none.jsonl", "chat", store, None, KEY)
