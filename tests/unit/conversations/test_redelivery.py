from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from nabi.conversations.records import Basis, Consent, Conversation, Message
from nabi.conversations.redelivery import change_between
from nabi.conversations.store import OTHER_CONTENT, REPLACED_LABEL, ConversationStore, content_digest
from nabi.database.engine import Database

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
LATER = NOON + timedelta(days=30)
YES = Consent(training=True, given_at=NOON)
BASIS = Basis(source="search", by="홍길동 (정보보호 담당)", on=date(2026, 6, 1), why="직원이 쓴 문서")


def said(answer: str = "모아노트를 추천합니다.", **changes: Any) -> Conversation:
    values: dict[str, Any] = {
        "conversation_id": "search/r1",
        "persona_id": "search-assistant",
        "source": "search",
        "occurred_at": NOON,
        "messages": (Message(role="user", content="회의록 도구"), Message(role="assistant", content=answer)),
        "consent": YES,
        "user_key": "a" * 64,
    }
    return Conversation(**(values | changes))


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database, clock=lambda: LATER)


@pytest.mark.parametrize(
    ("held", "delivered", "change"),
    [
        (said(), said(), "none"),
        (said(), said(consent=Consent()), "withdrawn"),
        (said(), said(consent=YES.model_copy(update={"withdrawn_at": LATER})), "withdrawn"),
        (said(), said(consent=YES.model_copy(update={"guardian": False})), "withdrawn"),
        (said(consent=Consent(training=True, withdrawn_at=LATER)), said(), "none"),
        (said(consent=Consent()), said(), "other"),
        (said(), said("봄노트를 추천합니다."), "other"),
        (said(), said("봄노트를 추천합니다.", consent=Consent()), "other"),
        (said(), said("봄노트를 추천합니다.", golden=True), "golden"),
        (said(feedback=-1, adapter_version="s--v1"), said("봄노트를 추천합니다.", golden=True), "golden"),
        (said("봄노트를 추천합니다.", golden=True), said(), "none"),
        (said("봄노트.", golden=True), said("봄노트를 추천합니다.", golden=True), "golden"),
        (said(), said("봄노트를 추천합니다.", golden=True, kind="other"), "other"),
        (said(basis=BASIS), said(basis=BASIS.model_copy(update={"on": date(2026, 7, 1)}), occurred_at=LATER), "none"),
        (said(), said(occurred_at=LATER), "other"),
    ],
)
def test_only_a_withdrawal_a_golden_answer_and_a_renewed_basis_may_differ(
    held: Conversation, delivered: Conversation, change: str
) -> None:
    assert change_between(held, delivered) == change


def test_a_row_delivered_again_without_its_consent_withdraws(store: ConversationStore) -> None:
    store.add([said(), said(conversation_id="search/r2")])
    added = store.add([said(consent=Consent()), said(conversation_id="search/r2")])
    assert (added.num_new, added.num_known, added.refused) == (0, 1, ())
    assert added.withdrawn == ("search/r1",)
    kept = store.get("search/r1")
    assert kept is not None
    assert kept.consent == Consent(withdrawn_at=LATER)
    assert kept.messages == said().messages


def test_an_old_file_does_not_bring_a_withdrawn_consent_back(store: ConversationStore) -> None:
    withdrawn = said(consent=Consent())
    store.add([said()])
    store.add([withdrawn])
    again = store.add([said(), withdrawn])
    assert (again.num_known, again.withdrawn, again.refused) == (2, (), ())
    assert store.get("search/r1") == said(consent=Consent(withdrawn_at=LATER))


def test_consent_taken_back_within_one_delivery_is_withdrawn_too(store: ConversationStore) -> None:
    added = store.add([said(), said(consent=Consent())])
    assert (added.num_new, added.withdrawn) == (1, ("search/r1",))


def test_a_golden_answer_takes_the_place_of_the_label_which_is_kept_apart(store: ConversationStore) -> None:
    golden = said("봄노트를 추천합니다.", golden=True)
    store.add([said()])
    added = store.add([golden])
    assert (added.golden, added.num_known) == (("search/r1",), 0)
    assert store.get("search/r1") == golden
    [apart] = store.list_set_apart("search-assistant")
    assert (apart.reason, apart.conversation_id) == (REPLACED_LABEL, "search/r1")
    assert Conversation.model_validate_json(apart.raw or "") == said()
    again = store.add([said(), golden])
    assert (again.num_known, again.golden) == (2, ())
    assert store.get("search/r1") == golden


def test_another_golden_answer_for_other_words_is_still_refused(store: ConversationStore) -> None:
    store.add([said()])
    other = said("봄노트.", golden=True, kind="other")
    assert [item.reason for item in store.add([other]).refused] == [OTHER_CONTENT]


def test_a_renewed_basis_makes_no_other_content(store: ConversationStore) -> None:
    renewed = BASIS.model_copy(update={"on": date(2026, 9, 1)})
    store.add([said(basis=BASIS)])
    assert store.add([said(basis=renewed)]).num_known == 1
    kept = store.get("search/r1")
    assert kept is not None
    assert kept.basis == BASIS


def test_what_later_fields_do_not_say_leaves_the_digest_as_it_was() -> None:
    """The digest of a row that was stored before there were golden answers."""
    before = "1f02d60d51c5fefe"
    assert content_digest(said()) == content_digest(said(basis=BASIS))
    assert content_digest(said()).startswith(before)
    assert content_digest(said()) != content_digest(said(golden=True))
    assert content_digest(said()) != content_digest(said(other_keys=("b" * 64,)))


def test_a_person_is_found_where_others_quote_them(store: ConversationStore) -> None:
    mine, yours = "a" * 64, "b" * 64
    store.add(
        [
            said(conversation_id="own"),
            said(conversation_id="quoted", user_key=yours, other_keys=("c" * 64, mine)),
            said(conversation_id="nobody", user_key=yours),
        ]
    )
    assert store.of_person(mine) == ["own", "quoted"]
