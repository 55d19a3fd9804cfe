from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nabi.conversations.keys import user_key
from nabi.conversations.records import Consent, Conversation, Message
from nabi.conversations.sources.chat import read_chat_log
from nabi.conversations.sources.fields import MAX_EXCERPT_CHARS
from nabi.conversations.sources.rows import Accepted, Delivery, Refused, Row
from nabi.errors import DataError

KEY = b"k" * 32

ROW: dict[str, Any] = {
    "conversation_id": "c1",
    "persona_id": "nabiyam",
    "timestamp": "2026-07-01T09:00:00+09:00",
    "messages": [{"role": "user", "content": "배고파"}, {"role": "assistant", "content": "떡볶이 어때요? 😊"}],
}


def read(path: Path, content: bytes | str, persona_id: str | None = None) -> list[Row]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_chat_log(path, Delivery(KEY, persona_id)))


def read_one(path: Path, /, *, caller: str | None = None, **changes: Any) -> Row:
    row = {field: value for field, value in (ROW | changes).items() if value is not ...}
    [outcome] = read(path, json.dumps(row, ensure_ascii=False), caller)
    return outcome


def accepted(outcome: Row) -> Conversation:
    assert isinstance(outcome, Accepted), outcome
    return outcome.conversation


def refused(outcome: Row) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def test_a_full_row_becomes_a_conversation(path: Path) -> None:
    outcome = read_one(
        path,
        dataset_source="operator",
        user_id="u-17",
        user_age=11,
        consent={"training": True, "given_at": "2026-06-01T00:00:00Z", "guardian": True},
        retrieved_items=[{"가게": "해맑은분식", "가격": "4,500원"}],
        kind="budget",
        feedback=0.5,
        adapter_version="nabiyam--v3",
        style_tags=["해요체"],
        safety_flags=["allergy"],
        something_else={"is": "ignored"},
    )
    assert accepted(outcome) == Conversation(
        conversation_id="c1",
        persona_id="nabiyam",
        source="operator",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
        messages=(Message(role="user", content="배고파"), Message(role="assistant", content="떡볶이 어때요? 😊")),
        facts=({"가게": "해맑은분식", "가격": "4,500원"},),
        user_key=user_key("u-17", KEY),
        consent=Consent(training=True, given_at=datetime(2026, 6, 1, tzinfo=UTC), guardian=True),
        kind="budget",
        feedback=0.5,
        adapter_version="nabiyam--v3",
        style_tags=("해요체",),
        safety_flags=("allergy",),
    )


def test_what_a_row_leaves_out_means_no_consent_and_a_plain_chat(path: Path) -> None:
    conversation = accepted(read_one(path))
    assert conversation.consent == Consent()
    assert (conversation.source, conversation.user_key, conversation.facts) == ("chat", None, ())


@pytest.mark.parametrize(("given", "training"), [(True, True), (False, False), (None, False)])
def test_consent_may_be_a_bare_yes_or_no(path: Path, given: bool | None, training: bool) -> None:
    assert accepted(read_one(path, consent=given)).consent.training is training


@pytest.mark.parametrize(
    ("age", "guardian", "training"),
    [(13, None, False), (13, False, False), (13, True, True), (14, None, True), (None, None, True), (9.5, True, True)],
)
def test_a_child_below_14_consents_only_with_a_guardian(
    path: Path, age: float | None, guardian: bool | None, training: bool
) -> None:
    conversation = accepted(read_one(path, user_age=age, consent={"training": True, "guardian": guardian}))
    assert conversation.consent.training is training


def test_character_id_names_the_persona_too(path: Path) -> None:
    assert accepted(read_one(path, persona_id=..., character_id="tsundere-cat")).persona_id == "tsundere-cat"


def test_the_caller_may_name_the_persona_of_rows_that_do_not(path: Path) -> None:
    assert accepted(read_one(path, caller="nabiyam", persona_id=...)).persona_id == "nabiyam"


def test_a_row_of_another_persona_is_refused(path: Path) -> None:
    outcome = refused(read_one(path, caller="tester"))
    assert (outcome.field, outcome.reason) == ("persona_id", "the row belongs to nabiyam, not to tester")
    assert outcome.persona_id == "tester"


def test_a_row_without_an_id_gets_the_same_one_each_time_and_another_for_other_content(path: Path) -> None:
    first = accepted(read_one(path, conversation_id=...))
    assert accepted(read_one(path, conversation_id=None)) == first
    assert accepted(read_one(path, conversation_id=..., user_id="u-17")).conversation_id != first.conversation_id
    said = [{"role": "user", "content": "배고파!"}]
    assert accepted(read_one(path, conversation_id=..., messages=said)).conversation_id != first.conversation_id


def test_ids_may_be_numbers(path: Path) -> None:
    conversation = accepted(read_one(path, conversation_id=17, user_id=4))
    assert (conversation.conversation_id, conversation.user_key) == ("17", user_key("4", KEY))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4500, "4500"),
        (4500.0, "4500"),
        (4.5, "4.5"),
        (True, "예"),
        (False, "아니요"),
        (["우유", "땅콩", None, 3], "우유, 땅콩, 3"),
        ("4,500원", "4,500원"),
        (1e300, "1e+300"),
    ],
)
def test_values_of_retrieved_items_become_text(path: Path, value: Any, text: str) -> None:
    assert accepted(read_one(path, retrieved_items=[{"값": value, "없음": None}])).facts == ({"값": text},)


def test_items_without_a_value_are_left_out(path: Path) -> None:
    assert accepted(read_one(path, retrieved_items=[{}, {"가격": None}, {"가게": "봄분식"}])).facts == (
        {"가게": "봄분식"},
    )


def test_decomposed_hangul_is_composed_everywhere(path: Path) -> None:
    row = ROW | {"kind": "예산", "retrieved_items": [{"가게": "봄분식"}], "style_tags": ["해요체"]}
    decomposed = unicodedata.normalize("NFD", json.dumps(row, ensure_ascii=False))
    composed = unicodedata.normalize("NFC", decomposed)
    assert decomposed != composed
    assert read(path, decomposed) == read(path, composed)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_a_log_is_read_whatever_its_encoding(path: Path, encoding: str) -> None:
    row = ROW | {"messages": [{"role": "user", "content": "해맑은분식 떡볶이 얼마예요?"}]}
    [outcome] = read(path, json.dumps(row, ensure_ascii=False).encode(encoding))
    assert accepted(outcome).messages[0].content == "해맑은분식 떡볶이 얼마예요?"


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"messages": ...}, "messages", "no message"),
        ({"messages": []}, "messages", "no message"),
        ({"messages": "배고파"}, "messages", "no list"),
        ({"messages": ["배고파"]}, "messages[0]", "object"),
        ({"messages": [{"role": "bot", "content": "네"}]}, "messages[0].role", "'bot' is no role"),
        ({"messages": [{"role": ["user"], "content": "네"}]}, "messages[0].role", "a list is no role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "None is no text"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages[0].content", "empty"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content", "U+0000"),
        ({"messages": [{"role": "user", "content": "떡�이"}]}, "messages[0].content", "U+FFFD"),
        ({"messages": [{"role": "user", "content": "a\x85b"}]}, "messages[0].content", "U+0085"),
        ({"timestamp": ...}, "timestamp", "missing"),
        ({"timestamp": "2026-07-01T09:00:00"}, "timestamp", "no zone"),
        ({"timestamp": "yesterday"}, "timestamp", "no time"),
        ({"timestamp": 1751328000}, "timestamp", "a time is text"),
        ({"timestamp": "0001-01-01T00:00:00+09:00"}, "timestamp", "no time"),
        ({"timestamp": "9999-12-31T23:59:59-09:00"}, "timestamp", "no time"),
        ({"persona_id": ...}, "persona_id", "does not say whose"),
        ({"persona_id": "../etc"}, "persona_id", "small letters"),
        ({"persona_id": "a" * 49}, "persona_id", "small letters"),
        ({"character_id": "tester"}, "character_id", "two personas"),
        ({"conversation_id": ""}, "conversation_id", "empty"),
        ({"conversation_id": "a\nb"}, "conversation_id", "one line"),
        ({"conversation_id": "x" * 201}, "conversation_id", "longer than 200"),
        ({"conversation_id": True}, "conversation_id", "no text"),
        ({"dataset_source": "bootstrap"}, "dataset_source", "reserved"),
        ({"user_id": {"name": "민지"}}, "user_id", "an object is no text"),
        ({"user_age": "nine"}, "user_age", "no age"),
        ({"user_age": -1}, "user_age", "no age"),
        ({"consent": "yes"}, "consent", "consent is true, false or"),
        ({"consent": {"training": "yes"}}, "consent.training", "neither true nor false"),
        ({"consent": {"training": 1}}, "consent.training", "neither true nor false"),
        ({"consent": {"given_at": "2026-07-01"}}, "consent.given_at", "no zone"),
        ({"retrieved_items": {"가게": "봄분식"}}, "retrieved_items", "no list"),
        ({"retrieved_items": ["봄분식"]}, "retrieved_items[0]", "object"),
        ({"retrieved_items": [{"": "봄분식"}]}, "retrieved_items[0]", "empty or given twice"),
        ({"retrieved_items": [{"가게": "a", " 가게": "b"}]}, "retrieved_items[0]", "empty or given twice"),
        ({"retrieved_items": [{"가게": {"이름": "봄"}}]}, "retrieved_items[0].'가게'", "an object is no text"),
        ({"retrieved_items": [{"가게": [["봄"]]}]}, "retrieved_items[0].'가게'", "a list is no text"),
        ({"feedback": 2}, "feedback", "from -1 to 1"),
        ({"feedback": True}, "feedback", "from -1 to 1"),
        ({"style_tags": [7]}, "style_tags[0]", "no text"),
        ({"kind": "x" * 65}, "kind", "longer than 64"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_with_field_and_reason(
    path: Path, changes: dict[str, Any], field: str, told: str
) -> None:
    outcome = refused(read_one(path, **changes))
    assert outcome.field == field
    assert told in outcome.reason


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (json.dumps(ROW)[:-9], "no valid JSON"),
        ("{'single': 'quotes'}", "no valid JSON"),
        ("[]", "no JSON object"),
        ('"text"', "no JSON object"),
        ('{"feedback": NaN}', "NaN"),
        ('{"feedback": -Infinity}', "-Infinity"),
        ('{"user_age": ' + "9" * 5_000 + "}", "cannot be read"),
        ("[" * 100_000, "nested too deeply"),
        ('{"kind": "a", "kind": "b"}', "given twice"),
        ('{"kind": "\0"}', "NUL"),
        ("x" * (10 << 20), "longer than"),
    ],
)
def test_a_row_that_is_no_json_object_is_refused_and_the_next_is_read(path: Path, line: str, told: str) -> None:
    first, second = read(path, f"{line}\n{json.dumps(ROW)}\n")
    assert told in refused(first).reason
    assert (second.line, accepted(second).conversation_id) == (2, "c1")


def test_half_a_surrogate_is_refused(path: Path) -> None:
    """Valid JSON, and a character that neither UTF-8 nor a database can hold."""
    [outcome] = read(path, json.dumps(ROW).replace("\\ud83d\\ude0a", "\\ud83d"))
    assert "U+D83D" in refused(outcome).reason


@pytest.mark.parametrize(
    "line",
    [
        '{"user_id": "min-ji", "messages": 1}',
        '{"user_id" : "min-ji", "messag',
        '{"user_id": "min-ji',
        '{"user_id": {"name": "min-ji"}}',
        '{"user_id": ["min-ji"], "kind": 1}',
        '{"user_id": "a\\"min-ji", "messages": 1}',
        "{}" + " " * (MAX_EXCERPT_CHARS * 2 - 14) + '{"user_id": "min-ji"}',
    ],
)
def test_a_refused_row_never_shows_the_users_id(path: Path, line: str) -> None:
    [outcome] = read(path, line)
    assert "min" not in refused(outcome).excerpt


def test_a_refused_row_keeps_its_users_hash_so_that_deletion_finds_it(path: Path) -> None:
    outcome = refused(read_one(path, user_id="u-17", messages=[]))
    assert (outcome.user_key, outcome.persona_id) == (user_key("u-17", KEY), "nabiyam")


def test_a_long_refused_row_is_shortened(path: Path) -> None:
    outcome = refused(read_one(path, feedback=9, kind="x" * 9_000))
    assert len(outcome.excerpt) < MAX_EXCERPT_CHARS + 120
    assert "bytes, sha256" in outcome.excerpt


def test_a_missing_log_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        list(read_chat_log(tmp_path / "none.jsonl", Delivery(KEY)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [*ROW, "user_id", "user_age", "consent", "retrieved_items", "feedback", "style_tags", "character_id", "kind"]


@given(changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3), ascii_only=st.booleans())
def test_any_values_are_accepted_or_refused_with_a_reason(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], ascii_only: bool
) -> None:
    line = json.dumps(ROW | changes, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    [outcome] = read(tmp_path_factory.getbasetemp() / "values.jsonl", line)
    if isinstance(outcome, Refused):
        assert outcome.reason
        (outcome.reason + outcome.field + outcome.excerpt).encode()
        assert "\0" not in outcome.reason + outcome.field + outcome.excerpt


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffd"), min_size=1)


@given(content=TEXT.filter(lambda text: text.strip()))
def test_what_was_said_is_kept_to_the_character(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    row = ROW | {"messages": [{"role": "user", "content": content}]}
    for ascii_only in (True, False):
        line = json.dumps(row, ensure_ascii=ascii_only)
        [outcome] = read(tmp_path_factory.getbasetemp() / "said.jsonl", line)
        assert accepted(outcome).messages[0].content == unicodedata.normalize("NFC", content)


@given(content=st.binary(max_size=300))
def test_any_bytes_are_refused_row_by_row(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    for outcome in read(tmp_path_factory.getbasetemp() / "bytes.jsonl", content):
        refused(outcome).excerpt.encode()


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_one_wrong_byte_never_stops_the_reading(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    whole = json.dumps(ROW, ensure_ascii=False).encode()
    damaged = bytearray(whole)
    damaged[place % len(damaged)] = byte
    outcomes = read(tmp_path_factory.getbasetemp() / "byte.jsonl", bytes(damaged) + b"\n" + whole)
    assert accepted(outcomes[-1]).conversation_id == "c1"
