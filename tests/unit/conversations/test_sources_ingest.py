"""Files of every source brought into the store, the shipped examples among them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.ingest import IngestReport, ingest_file
from nabi.conversations.keys import user_key
from nabi.conversations.sources.registry import SOURCES
from nabi.conversations.sources.rows import NO_PERMISSION
from nabi.conversations.store import REPLACED_LABEL, ConversationStore
from nabi.curation.consent import check_consent
from nabi.curation.verdict import KEPT
from nabi.database.engine import Database
from nabi.errors import ConfigError
from nabi.personas.load import load_personas
from nabi.personas.model import Persona

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
PERSONAS = load_personas(ROOT / "personas")
KEY = b"k" * 32
LATER = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database)


def ingest(store: ConversationStore, path: Path, source: str, **told: Any) -> IngestReport:
    return ingest_file(path, source, store, told.pop("persona_id", None), KEY, **({"personas": PERSONAS} | told))


def num_rows(report: IngestReport) -> int:
    parts = (report.accepted, report.known, len(report.withdrawn), len(report.golden), len(report.refused))
    return sum(parts)


@pytest.mark.parametrize(
    ("file", "source", "outcome"),
    [
        ("meetings/2026-06-30-weekly.json", "meeting", ("JSON transcript", 48, 6)),
        ("meetings/2026-06-29_0930-drill.json", "meeting", ("JSON transcript", 4, 1)),
        ("meetings/2026-06-28_1100-planning.txt", "meeting", ("plain text transcript", 5, 1)),
        ("meetings/2026-06-27_1500-design.vtt", "meeting", ("WebVTT subtitles", 5, 1)),
        ("meetings/2026-06-26_1000-standup.srt", "meeting", ("SubRip subtitles", 7, 1)),
        ("search/search-log.jsonl", "search", ("JSON lines", 11, 1)),
        ("agents/instructions.jsonl", "agents", ("JSON lines of instruction, input, output", 18, 0)),
        ("agents/speakers.jsonl", "agents", ("JSON lines of instruction, input, output", 3, 0)),
        ("agents/prompt-completion.jsonl", "agents", ("JSON lines of prompt, completion", 3, 0)),
        ("agents/openai-chat.jsonl", "agents", ("JSON lines of OpenAI chat messages", 2, 0)),
        ("characters/logs.jsonl", "character", ("JSON lines", 9, 0)),
    ],
)
def test_every_shipped_example_is_recognised_and_taken_in_once(
    store: ConversationStore, file: str, source: str, outcome: tuple[str, int, int]
) -> None:
    first = ingest(store, EXAMPLES / file, source)
    assert (first.recognised, first.accepted, len(first.refused)) == outcome
    again = ingest(store, EXAMPLES / file, source)
    assert (again.accepted, again.known, again.refused) == (0, first.accepted, first.refused)


def test_the_shipped_meeting_is_long_enough_to_learn_two_speakers_from(store: ConversationStore) -> None:
    """B1: 20 utterances; whoever has no persona is counted too."""
    report = ingest(store, EXAMPLES / "meetings/2026-06-30-weekly.json", "meeting")
    counts = {who.speaker: (who.persona_id, who.num_utterances, who.num_accepted) for who in report.speakers}
    assert counts == {
        "이영희": ("speaker-lee-younghee", 26, 25),
        "김철수": ("speaker-kim-cheolsu", 23, 23),
        "박민수": (None, 5, 0),
    }
    assert report.personas == Counter({"speaker-lee-younghee": 25, "speaker-kim-cheolsu": 23})


def test_the_shipped_instructions_split_over_all_six_agents(store: ConversationStore) -> None:
    report = ingest(store, EXAMPLES / "agents/instructions.jsonl", "agents")
    assert set(report.personas) == {persona.id for persona in PERSONAS.values() if persona.source == "agents"}
    tags = [tag for c in store.before("data-analysis", LATER) for tag in c.style_tags]
    assert {"difficulty=easy", "difficulty=medium", "difficulty=hard", "tool=calculator"} <= set(tags)


def test_what_is_taken_in_may_be_learned_from_but_for_those_who_said_no(store: ConversationStore) -> None:
    for file, source in (("search/search-log.jsonl", "search"), ("agents/instructions.jsonl", "agents")):
        ingest(store, EXAMPLES / file, source)
    for persona_id in ("search-assistant", "rag", "review"):
        for conversation in store.before(persona_id, LATER):
            said_no = conversation.conversation_id == "search/req-2026-0630-004"
            assert (check_consent(conversation) == KEPT) is not said_no
            assert said_no or conversation.basis is not None or conversation.user_key is not None


def test_golden_answers_may_come_later_than_the_log(store: ConversationStore) -> None:
    log, golden = EXAMPLES / "search/search-log.jsonl", EXAMPLES / "search/golden-answers.jsonl"
    ingest(store, log, "search")
    report = ingest(store, log, "search", golden=golden)
    assert report.golden == ["search/req-2026-0630-009"]
    assert (report.accepted, report.known, report.refused) == (1, 10, [])  # one had no answer before
    assert num_rows(report) == 12
    conversation = store.get("search/req-2026-0630-009")
    assert conversation is not None
    assert conversation.golden
    assert "화자를 나누어" in conversation.messages[-1].content
    assert REPLACED_LABEL in {item.reason for item in store.list_set_apart("search-assistant")}


def test_golden_answers_that_fit_no_row_are_told(store: ConversationStore, tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text('{"request_id": "nobody", "golden_answer": "a"}\n{"request_id": 7}\n')
    report = ingest(store, EXAMPLES / "search/search-log.jsonl", "search", golden=golden)
    assert report.golden_unused == ["nobody"]
    assert [(row.line, row.field) for row in report.golden_refused] == [(2, "golden_answer")]


def changed_meeting(tmp_path: Path, speaker_id: str, consent: Any) -> Path:
    delivered = json.loads((EXAMPLES / "meetings/2026-06-30-weekly.json").read_text(encoding="utf-8"))
    for person in delivered["participants"]:
        if person["speaker_id"] == speaker_id:
            person["consent"] = consent
    path = tmp_path / "again.json"
    path.write_text(json.dumps(delivered), encoding="utf-8")
    return path


def test_a_meeting_delivered_again_withdraws_what_a_participant_takes_back(
    store: ConversationStore, tmp_path: Path
) -> None:
    """Their own answers, and the answers of others that quote them."""
    ingest(store, EXAMPLES / "meetings/2026-06-30-weekly.json", "meeting")
    report = ingest(store, changed_meeting(tmp_path, "speaker_001", False), "meeting")
    assert report.known + len(report.withdrawn) == 48
    left = [c for c in store.before("speaker-lee-younghee", LATER) if c.conversation_id not in report.withdrawn]
    assert len(left) == report.known > 0
    assert not any(user_key("speaker_001", KEY) in c.other_keys for c in left)
    own = [c for c in store.before("speaker-kim-cheolsu", LATER) if c.consent.allows_training_at(c.occurred_at)]
    assert own == []


def test_a_persona_without_basis_takes_nothing_in_and_keeps_no_words(store: ConversationStore) -> None:
    bare = {name: persona.model_copy(update={"basis": ()}) for name, persona in PERSONAS.items()}
    report = ingest(store, EXAMPLES / "agents/instructions.jsonl", "agents", personas=bare)
    assert (report.accepted, len(report.refused)) == (0, 18)
    apart = store.list_set_apart()
    assert {item.reason for item in apart} == {NO_PERMISSION}
    assert len(apart) == 18
    assert "어린이" not in repr(apart)


def test_a_persona_nobody_knows_and_golden_answers_elsewhere_are_refused_at_once(store: ConversationStore) -> None:
    file = EXAMPLES / "characters/logs.jsonl"
    with pytest.raises(ConfigError, match="no persona 'nobody'"):
        ingest(store, file, "character", persona_id="nobody")
    with pytest.raises(ConfigError, match="search log"):
        ingest(store, file, "character", golden=file)
    with pytest.raises(ConfigError, match="chat, character, meeting, search, agents"):
        ingest(store, file, "fax")


def test_each_persona_s_source_has_a_reader() -> None:
    assert {persona.source for persona in PERSONAS.values()} <= set(SOURCES)


def test_the_shipped_bases_are_by_somebody_on_a_day_before_the_examples() -> None:
    bases = [basis for persona in PERSONAS.values() for basis in persona.basis]
    assert len(bases) >= 11
    assert all(basis.by and basis.why and basis.on.isoformat() == "2026-06-01" for basis in bases)


def test_a_chat_persona_needs_no_basis_and_gets_none() -> None:
    with pytest.raises(ValueError, match="source"):
        Persona.model_validate(
            {"id": "a", "name": "a", "system_prompt": "a", "basis": {"source": "chat", "by": "a", "on": "2026-06-01"}}
        )


def test_reports_stay_small_enough_for_long_files(store: ConversationStore, tmp_path: Path) -> None:
    """Streams: 5,000 rows pass in batches, and every one is accounted for."""
    path = tmp_path / "long.jsonl"
    start = datetime(2026, 6, 30, tzinfo=UTC)
    with path.open("w", encoding="utf-8") as file:
        for number in range(5_000):
            row = {"request_id": number, "timestamp": (start + timedelta(seconds=number)).isoformat()}
            answer = {"user_query": "질문", "llm_response_content": "답" if number % 10 else ""}
            file.write(json.dumps(row | answer) + "\n")
    report = ingest(store, path, "search")
    assert (report.accepted, len(report.refused), num_rows(report)) == (4_500, 500, 5_000)
