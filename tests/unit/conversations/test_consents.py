from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nabi.conversations.consents import NOTHING, Consents
from nabi.conversations.records import Consent, Conversation, Message
from nabi.conversations.store import ConversationStore
from nabi.database.engine import Database
from nabi.registry.answers import AnswerRecord, Answers

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
HANA = "a" * 64


def test_who_was_never_asked_allows_nothing(database: Database) -> None:
    assert Consents(database).of(HANA) == NOTHING
    assert not NOTHING.training


def test_consent_is_given_withdrawn_and_given_anew(database: Database) -> None:
    consents = Consents(database)
    given = consents.give(HANA, NOON)
    assert given == consents.of(HANA) == Consent(training=True, given_at=NOON)
    assert consents.give(HANA, NOON + timedelta(days=1)) == given
    gone = consents.withdraw(HANA, NOON + timedelta(days=2))
    assert (gone.training, gone.withdrawn_at) == (False, NOON + timedelta(days=2))
    assert consents.withdraw(HANA, NOON + timedelta(days=3)) == gone
    anew = consents.give(HANA, NOON + timedelta(days=4))
    assert anew == Consent(training=True, given_at=NOON + timedelta(days=4))
    consents.forget(HANA)
    assert consents.of(HANA) == NOTHING


def test_a_child_needs_a_guardian(database: Database) -> None:
    consents = Consents(database)
    assert consents.give(HANA, NOON, age=9).guardian is False
    assert consents.give(HANA, NOON, age=9, guardian=True).guardian is True
    assert consents.give("b" * 64, NOON, age=14).guardian is None


def _said(**changes: object) -> Conversation:
    values = {
        "conversation_id": "chat/1",
        "persona_id": "nabiyam",
        "source": "chat",
        "occurred_at": NOON,
        "messages": (Message(role="user", content="라면?"), Message(role="assistant", content="봄분식 어때요?")),
        "user_key": HANA,
        "consent": Consent(training=True, given_at=NOON),
    }
    return Conversation.model_validate({**values, **changes})


def test_a_reaction_is_kept_with_the_conversation_and_survives_a_second_delivery(database: Database) -> None:
    store = ConversationStore(database)
    store.add([_said()])
    assert store.react("chat/1", -1.0)
    assert not store.react("chat/2", -1.0)
    again = store.add([_said()])
    assert (again.num_known, again.refused) == (1, ())
    held = store.get("chat/1")
    assert held is not None
    assert held.feedback == -1.0


def test_a_delivery_may_bring_the_reaction_later(database: Database) -> None:
    store = ConversationStore(database)
    store.add([_said()])
    assert store.add([_said(feedback=1.0)]).num_known == 1
    held = store.get("chat/1")
    assert held is not None
    assert held.feedback == 1.0
    assert store.add([_said(feedback=0.5)]).refused[0].reason == "same id with other content"


def test_records_of_answers_are_kept_once_with_the_newest_reaction(database: Database) -> None:
    answers = Answers(database)
    record = AnswerRecord(
        answer_id="chatcmpl-1",
        persona_id="nabiyam",
        adapter_version="nabiyam--v1",
        digest="d" * 64,
        at=NOON,
        num_prompt_tokens=30,
        num_tokens=9,
        num_chars=14,
        ended="stop",
        seconds=0.5,
        seconds_to_first=0.1,
        violations=("repetition",),
    )
    assert answers.add([record]) == 1
    assert answers.add([record]) == 0
    assert answers.get("chatcmpl-1") == record
    assert answers.react("chatcmpl-1", 1.0, NOON)
    assert answers.react("chatcmpl-1", -1.0, NOON)
    assert answers.reaction("chatcmpl-1") == -1.0
    assert not answers.react("chatcmpl-2", 1.0, NOON)
