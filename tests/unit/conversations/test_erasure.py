"""What a request covers, what it keeps out, and what it takes out of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.erasure import DELETED, DROPPED, WITHDRAWN, Entry
from nabi.conversations.ingest import ingest_file
from nabi.conversations.keys import user_key
from nabi.conversations.records import Consent, Conversation, Message
from nabi.conversations.store import ConversationStore, SetApart
from nabi.database.engine import Database
from nabi.errors import DataError
from nabi.registry.journal import Journal, RowOrigin

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
HANA, DURI = "a" * 64, "b" * 64


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database, clock=lambda: NOON + timedelta(days=1))


def said(number: int, user_key: str | None = HANA, **changes: Any) -> Conversation:
    values: dict[str, Any] = {
        "conversation_id": f"c{number}",
        "persona_id": "bot",
        "source": "chat",
        "occurred_at": NOON + timedelta(hours=number),
        "messages": (Message(role="user", content=f"질문 {number}"), Message(role="assistant", content="네")),
        "user_key": user_key,
        "consent": Consent(training=True, given_at=NOON - timedelta(days=9)),
    }
    return Conversation(**(values | changes))


def ids(store: ConversationStore) -> list[str]:
    return [item.conversation_id for item in store.before("bot", NOON + timedelta(days=99))]


def test_from_the_request_on_nothing_of_the_person_is_used(store: ConversationStore) -> None:
    store.add([said(1), said(2, DURI), said(3, DURI, other_keys=(HANA,))])
    store.forget_person(HANA, who="hana")
    assert ids(store) == ["c2"]
    assert store.counts("bot").num_conversations == 1
    assert [item.conversation_id for item in store.unlearned("bot", NOON + timedelta(days=99))] == ["c2"]


@pytest.mark.parametrize("is_finished", [False, True])
def test_an_old_file_brings_nothing_back(store: ConversationStore, is_finished: bool) -> None:
    """Not under the same id, not the same words under another id or without a user, and not what came only now."""
    store.add([said(1), said(2, DURI)])
    request = store.forget_person(HANA, who="hana")
    if is_finished:
        store.erasures.empty(request)
    copies = [
        said(1, None, conversation_id="copy"),
        said(5),
        said(6, DURI, other_keys=(HANA,)),
        *([said(1)] if is_finished else []),
    ]
    added = store.add(copies)
    assert added.num_new == 0
    assert {item.reason for item in added.refused} == {DELETED}
    assert all(item.raw is None for item in store.list_set_apart() if item.reason == DELETED)
    assert ids(store) == ["c2"]


def test_what_the_person_says_after_the_deletion_is_theirs_to_give_again(store: ConversationStore) -> None:
    store.forget_person(HANA, who="hana")
    assert store.add([said(48)]).num_new == 1


def test_a_person_of_whom_nothing_is_held_is_remembered_all_the_same(store: ConversationStore) -> None:
    request = store.forget_person(HANA, who="hana")
    assert store.erasures.traces(request).conversation_ids == frozenset()
    assert [item.reason for item in store.add([said(1)]).refused] == [DELETED]


def test_a_request_is_not_made_twice_unless_there_is_more_to_delete(store: ConversationStore) -> None:
    store.add([said(1)])
    first = store.forget_person(HANA, who="hana")
    assert store.forget_person(HANA, who="hana") == first
    store.add([said(48)])
    second = store.forget_person(HANA, who="hana")
    assert [r.id for r in store.erasures.pending()] == [first.id, second.id]
    assert store.erasures.traces(second).conversation_ids == {"c48"}


def test_emptying_takes_everything_of_the_person_and_nothing_of_others(
    store: ConversationStore, database: Database
) -> None:
    journal = Journal(database)
    store.add([said(1), said(2, DURI)])
    store.mark_learned("bot", ["c1", "c2"], "bot--v1", "data1")
    journal.record_dataset("data1", "bot", [RowOrigin("s1", "c1", "train"), RowOrigin("s2", "c2", "train")])
    store.set_apart(None, [(said(1), "quality", "0.1"), (said(2, DURI), "quality", "0.2")])
    store.set_apart_rows([SetApart("bot", "chat", "unusable row", raw="{half", user_key=HANA)])
    store.set_apart_rows([SetApart("bot", "chat", "unusable row", raw=f'{{"other_keys": ["{HANA}"]', user_key=DURI)])
    store.set_apart_rows([SetApart("bot", "chat", "same id", raw="{theirs", user_key=DURI, conversation_id="c1")])
    request = store.forget_person(HANA, who="hana")
    store.erasures.empty(request)
    assert store.get("c1") is None
    assert store.get("c2") == said(2, DURI)
    assert set(store.learned_by("bot")) == {"c2"}
    assert journal.conversations_of("data1", "bot") == ["c2"]
    assert {(item.conversation_id, item.raw) for item in store.list_set_apart()} == {("c2", None), ("c1", "{theirs")}
    assert store.erasures.entries(request) == [
        Entry("database", "conversations", 1),
        Entry("database", "dataset_rows", 1),
        Entry("database", "learned", 1),
        Entry("database", "set_apart", 3),
    ]


def test_emptying_again_changes_neither_tables_nor_report(store: ConversationStore) -> None:
    store.add([said(1), said(2, DURI)])
    request = store.forget_person(HANA, who="hana")
    store.erasures.empty(request)
    report = store.erasures.entries(request)
    store.erasures.empty(request)
    assert store.erasures.entries(request) == report
    assert [r.state for r in store.erasures.pending()] == ["emptied"]
    assert store.erasures.finish(request).state == "done"
    assert store.erasures.pending() == []


def test_traces_name_samples_words_and_personas(store: ConversationStore, database: Database) -> None:
    store.add([said(1), said(2, DURI)])
    Journal(database).record_dataset("data1", "bot", [RowOrigin("s1", "c1", "train"), RowOrigin("s2", "c2", "train")])
    traces = store.erasures.traces(store.forget_person(HANA, who="hana"))
    assert traces.conversation_ids == {"c1"}
    assert traces.sample_ids == {"s1"}
    assert traces.texts == {"질문 1", "네"}
    assert traces.persona_ids == {"bot"}


def test_a_withdrawal_counts_from_its_date_and_takes_what_was_never_covered(store: ConversationStore) -> None:
    never = said(2, consent=Consent())
    store.add([said(1), never, said(3), said(4, DURI)])
    request = store.withdraw_consent(HANA, NOON + timedelta(hours=3), who="hana")
    assert store.erasures.traces(request).conversation_ids == {"c2", "c3"}
    assert ids(store) == ["c1", "c4"]
    assert store.withdraw_consent(HANA, NOON + timedelta(hours=3), who="hana").id == request.id


def test_after_a_withdrawal_only_a_consent_given_anew_counts(store: ConversationStore) -> None:
    store.withdraw_consent(HANA, NOON + timedelta(hours=3), who="hana")
    anew = Consent(training=True, given_at=NOON + timedelta(hours=4))
    added = store.add([said(1), said(5), said(6, consent=anew)])
    assert added.num_new == 2
    assert [(item.conversation_id, item.reason) for item in added.refused] == [("c5", WITHDRAWN)]


def test_a_withdrawal_takes_raw_rows_since_their_time_is_unknown(store: ConversationStore) -> None:
    store.add([said(1)])
    store.set_apart(None, [(said(1), "quality", "0.1")])
    store.set_apart_rows([SetApart("bot", "chat", "unusable row", raw="{half", user_key=HANA)])
    store.erasures.empty(store.withdraw_consent(HANA, NOON + timedelta(hours=3), who="hana"))
    assert [(item.conversation_id, item.raw) for item in store.list_set_apart()] == [("c1", None)]


def test_a_delivery_that_takes_consent_back_becomes_a_request(store: ConversationStore) -> None:
    store.add([said(1), said(2)])
    store.add([said(1, consent=Consent())])
    [request] = store.erasures.pending()
    assert request.kind == "withdraw"
    assert store.erasures.traces(request).conversation_ids == {"c1"}
    store.erasures.empty(request)
    assert [item.reason for item in store.add([said(1)]).refused] == [WITHDRAWN]


def test_named_conversations_are_dropped_and_their_decision_stays(store: ConversationStore) -> None:
    store.add([said(1), said(2)])
    store.set_apart(None, [(said(1), "quality", "'질문 1' is short")])
    request = store.erasures.name(["c1"], "drop", who="reviewer")
    store.erasures.empty(request)
    assert ids(store) == ["c2"]
    assert [(item.reason, item.detail) for item in store.list_set_apart()] == [("quality", "")]
    assert [item.reason for item in store.add([said(1)]).refused] == [DROPPED]
    with pytest.raises(DataError, match="none of these conversations is held"):
        store.erasures.name(["c1", "c9"], "drop", who="reviewer")


@pytest.mark.parametrize(
    "item",
    [
        SetApart(
            "bot", "chat", "unusable row", raw='{"messages": "내 비밀', user_key=HANA, detail="'내 비밀' is no list"
        ),
        SetApart("bot", "chat", "unusable row", raw='{"conversation_id": "c1", "messages": "내 비밀'),
    ],
)
def test_a_broken_row_of_a_forgotten_person_is_counted_without_its_words(
    store: ConversationStore, item: SetApart
) -> None:
    store.add([said(1)])
    store.erasures.empty(store.forget_person(HANA, who="hana"))
    store.set_apart_rows([item])
    [kept] = store.list_set_apart()
    assert (kept.reason, kept.raw, kept.detail) == (DELETED, None, "")


def test_a_report_keeps_what_was_noted_first(store: ConversationStore) -> None:
    request = store.forget_person(HANA, who="hana")
    store.erasures.note(request, [Entry("logs", "a.log", 3)])
    store.erasures.note(request, [Entry("logs", "a.log", 0), Entry("logs", "b.log", 1)])
    assert store.erasures.entries(request) == [Entry("logs", "a.log", 3), Entry("logs", "b.log", 1)]


@pytest.mark.parametrize(
    "raw",
    ['{"conversation_id": "c1", "messages": [', '{"messages": [{"role": "user", "content": "아주 긴 비밀 이야기"'],
)
def test_broken_rows_of_nobody_go_when_they_name_or_quote_what_goes(store: ConversationStore, raw: str) -> None:
    store.add(
        [
            said(
                1,
                messages=(Message(role="user", content="아주 긴 비밀 이야기"), Message(role="assistant", content="네")),
            )
        ]
    )
    store.set_apart_rows([SetApart("bot", "chat", "unusable row", raw=raw)])
    store.set_apart_rows([SetApart("bot", "chat", "unusable row", raw='{"conversation_id": "c2", "messages": "네"')])
    request = store.forget_person(HANA, who="hana")
    store.erasures.empty(request)
    assert [item.raw for item in store.list_set_apart()] == ['{"conversation_id": "c2", "messages": "네"']
    assert Entry("database", "raw rows without an owner", 1) in store.erasures.entries(request)


def test_a_broken_line_still_tells_whose_it_is(store: ConversationStore, tmp_path: Path) -> None:
    """Kept apart without its owner it would be missed by a deletion."""
    key = b"k" * 32
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"conversation_id": "x", "user_id": " hana ", "messages": [{"role": "user", "content": "내 비밀은\n'
    )
    ingest_file(log, "chat", store, "bot", key)
    [item] = store.list_set_apart()
    assert item.user_key == user_key("hana", key)
    store.erasures.empty(store.forget_person(user_key("hana", key), who="hana"))
    assert store.list_set_apart() == []
