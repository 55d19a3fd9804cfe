from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.conversations.store import OTHER_CONTENT, UNSTORABLE, ConversationStore, SetApart, content_digest
from nabi.database.engine import Database
from nabi.database.inserts import BATCH

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
LATER = NOON + timedelta(days=30)


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database, clock=lambda: NOON)


def conversation(number: int, **changes: Any) -> Conversation:
    values: dict[str, Any] = {
        "conversation_id": f"c{number}",
        "persona_id": "nabiyam",
        "source": "chat",
        "occurred_at": NOON + timedelta(minutes=number),
        "messages": (Message(role="user", content="배고파"), Message(role="assistant", content="떡볶이 어때요? 😊")),
    }
    return Conversation(**(values | changes))


FULL = conversation(
    1,
    facts=({"메뉴": "떡볶이", "가게": "해맑은분식", "가격": "4,500원"}, {"가게": "봄분식"}),
    user_key="a" * 64,
    consent=Consent(training=True, given_at=NOON, withdrawn_at=LATER, guardian=True),
    kind="budget",
    feedback=-0.5,
    adapter_version="nabiyam--v7",
    style_tags=("해요체",),
    safety_flags=("allergy", "child"),
)


def test_a_conversation_comes_back_as_it_went_in(store: ConversationStore) -> None:
    store.add([FULL, conversation(2)])
    assert store.before("nabiyam", LATER) == [FULL, conversation(2)]
    assert store.get("c1") == FULL
    assert list(store.before("nabiyam", LATER)[0].facts[0]) == ["메뉴", "가게", "가격"]
    assert store.get("nobody") is None


def test_adding_again_adds_nothing(store: ConversationStore) -> None:
    conversations = [conversation(number) for number in range(BATCH + 5)]
    first = store.add(iter(conversations))
    again = store.add(iter(conversations))
    assert (first.num_new, first.num_known, first.refused) == (BATCH + 5, 0, ())
    assert (again.num_new, again.num_known, again.refused) == (0, BATCH + 5, ())
    assert store.counts("nabiyam").num_conversations == BATCH + 5


def test_the_same_id_with_other_content_is_refused_and_overwrites_nothing(store: ConversationStore) -> None:
    store.add([conversation(1)])
    changed = conversation(1, kind="allergy")
    added = store.add([conversation(2), changed])
    assert (added.num_new, added.num_known) == (1, 0)
    assert [(item.place, item.conversation_id, item.reason) for item in added.refused] == [(1, "c1", OTHER_CONTENT)]
    assert store.get("c1") == conversation(1)
    apart = store.list_set_apart("nabiyam")
    assert [(item.conversation_id, item.reason) for item in apart] == [("c1", OTHER_CONTENT)]
    assert Conversation.model_validate_json(apart[0].raw or "") == changed


def test_a_conflict_within_one_batch_keeps_the_first(store: ConversationStore) -> None:
    added = store.add([conversation(1), conversation(1), conversation(1, kind="other")])
    assert (added.num_new, added.num_known, len(added.refused)) == (1, 1, 1)
    assert store.get("c1") == conversation(1)


def test_the_place_of_a_refusal_counts_through_all_batches(store: ConversationStore) -> None:
    store.add([conversation(1)])
    many = [conversation(number) for number in range(2, BATCH + 10)]
    added = store.add([*many, conversation(1, kind="other")])
    assert [item.place for item in added.refused] == [len(many)]


def test_a_nul_character_is_refused_and_text_that_looks_like_one_is_not(store: ConversationStore) -> None:
    nul = conversation(1, messages=(Message(role="user", content="a\0b"),))
    looks = conversation(2, messages=(Message(role="user", content=r"a\u0000b"),))
    added = store.add([nul, looks])
    assert [(item.conversation_id, item.reason) for item in added.refused] == [("c1", UNSTORABLE)]
    assert store.get("c2") == looks


def test_writers_at_once_store_each_conversation_once(store: ConversationStore) -> None:
    conversations = [conversation(number) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(store.add, [conversations] * 4))
    assert sum(item.num_new for item in added) == 40
    assert sum(item.num_known for item in added) == 120


def test_a_window_holds_what_occurred_before_its_end_by_time_then_id(store: ConversationStore) -> None:
    same_time = [conversation(number, occurred_at=NOON) for number in (3, 1, 2)]
    store.add([conversation(20), *same_time, conversation(10), conversation(5, persona_id="other")])
    at_the_end = NOON + timedelta(minutes=20)
    assert [item.conversation_id for item in store.before("nabiyam", at_the_end)] == ["c1", "c2", "c3", "c10"]


def test_only_what_is_marked_stops_being_new(store: ConversationStore) -> None:
    store.add([conversation(number) for number in range(4)])
    assert store.mark_learned("nabiyam", ["c1", "c3", "bootstrap-7"], "nabiyam--v1", "d1") == 3
    assert store.mark_learned("nabiyam", ["c1"], "nabiyam--v2", "d2") == 0
    assert [item.conversation_id for item in store.unlearned("nabiyam", LATER)] == ["c0", "c2"]
    assert [item.conversation_id for item in store.before("nabiyam", LATER)] == ["c0", "c1", "c2", "c3"]
    assert set(store.learned_by("nabiyam")) == {"c1", "c3", "bootstrap-7"}
    assert store.learned_by("other") == {}
    assert store.learned_by("nabiyam") == dict.fromkeys(("c1", "c3", "bootstrap-7"), "nabiyam--v1")


def test_counts_are_of_one_persona_and_of_a_time(store: ConversationStore) -> None:
    store.add([*(conversation(number) for number in range(4)), conversation(9, persona_id="other")])
    store.mark_learned("nabiyam", ["c0"], "nabiyam--v1", "d1")
    store.set_apart(NOON, [(conversation(1), "quality", "0.41, needs 0.70")])
    everything = store.counts("nabiyam")
    assert (everything.num_conversations, everything.num_learned, everything.num_unlearned) == (4, 1, 3)
    assert everything.num_set_apart == 1
    assert store.counts("nabiyam", NOON + timedelta(minutes=2)).num_unlearned == 1


def test_what_is_set_apart_keeps_its_first_window_and_is_not_counted_twice(store: ConversationStore) -> None:
    assert store.set_apart(NOON, [(FULL, "quality", "0.41"), (FULL, "consent", "withdrawn")]) == 2
    assert store.set_apart(LATER, [(FULL, "quality", "0.42")]) == 0
    apart = store.list_set_apart("nabiyam")
    assert [(item.reason, item.detail, item.window) for item in apart] == [
        ("consent", "withdrawn", NOON),
        ("quality", "0.41", NOON),
    ]
    assert {item.user_key for item in apart} == {FULL.user_key}


def test_rows_of_nobody_are_listed_with_all_the_others(store: ConversationStore) -> None:
    store.set_apart_rows([SetApart(None, "chat", "unusable row", raw="{")])
    store.set_apart(NOON, [(FULL, "quality", "")])
    assert [item.persona_id for item in store.list_set_apart()] == ["nabiyam", None]
    assert len(store.list_set_apart("nabiyam")) == 1
    assert len(store.list_set_apart(num=1)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"consent": Consent(training=True)},
        {"feedback": 1.0},
        {"facts": ({"가게": "봄분식"},)},
        {"messages": (Message(role="user", content="배고파!"),)},
    ],
)
def test_the_digest_covers_everything_that_was_delivered(changes: dict[str, Any]) -> None:
    assert content_digest(conversation(1)) == content_digest(conversation(1))
    assert content_digest(conversation(1)) != content_digest(conversation(1, **changes))
