from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from nabi.conversations.records import Consent, Conversation, Message
from nabi.datasets.card import DatasetCard
from nabi.datasets.redaction import LEFT_OUT, holds_any, rows_of, without
from nabi.datasets.snapshot import build_snapshot, load_snapshot
from nabi.personas.model import Evaluation, Persona

PERSONA = Persona(
    id="p", name="시험", system_prompt="짧게.", bootstrap=None, evaluation=Evaluation(anchors=10, holdout_share=0.4)
)


def talk(number: int, text: str = "") -> Conversation:
    return Conversation(
        conversation_id=f"대화-{number}",
        persona_id="p",
        source="chat",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC) + timedelta(minutes=number),
        messages=(
            Message(role="user", content=f"질문 {number} {text}"),
            Message(role="assistant", content=f"{number}번 답이에요."),
        ),
        consent=Consent(training=True),
    )


def built(folder: Path, *talks: Conversation) -> dict[str, bytes]:
    snapshot = build_snapshot(PERSONA, [], talks, [], folder)
    return {path.name: path.read_bytes() for path in snapshot.folder.iterdir()}


def test_only_the_rows_of_these_conversations_go(tmp_path: Path) -> None:
    files = built(tmp_path, *(talk(number) for number in range(60)))
    gone = {f"대화-{number}" for number in range(0, 60, 7)}
    left = without(files, gone)
    assert set(left) == set(files)
    for name in ("train.jsonl", "holdout.jsonl", "anchors.jsonl"):
        kept = [line for line in files[name].split(b"\n") if not any(f'"{one}"'.encode() in line for one in gone)]
        assert left[name] == b"\n".join(kept)
    assert not any(holds_any(content, gone) for content in left.values())


def test_the_card_is_counted_anew_and_fits_its_files(tmp_path: Path) -> None:
    files = built(tmp_path, *(talk(number) for number in range(60)))
    left = without(files, {"대화-0", "대화-7", "nobody"})
    before = DatasetCard.model_validate_json(files["card.json"])
    for name, content in left.items():
        (tmp_path / "p" / name).write_bytes(content)
    after = load_snapshot(tmp_path / "p").card
    assert after.num_logged == before.num_logged - 2
    assert sum(part.samples for part in after.parts.values()) == 58
    assert after.left_out[LEFT_OUT] == 2
    assert after.digest != before.digest
    assert f"| {LEFT_OUT} | 2 |" in left["card.md"].decode()


def test_nothing_to_take_out_changes_nothing(tmp_path: Path) -> None:
    files = built(tmp_path, *(talk(number) for number in range(30)))
    assert without(files, {"nobody"}) == files


def test_taking_out_twice_or_in_two_parts_gives_the_same_rows(tmp_path: Path) -> None:
    files = built(tmp_path, *(talk(number) for number in range(30)))
    at_once = without(files, {"대화-1", "대화-2"})
    assert without(at_once, {"대화-1", "대화-2"}) == at_once
    in_turn = without(without(files, {"대화-1"}), {"대화-2"})
    assert in_turn == at_once


def test_an_id_in_somebody_elses_words_is_not_theirs(tmp_path: Path) -> None:
    """Words may quote the field itself; only the row's own id counts."""
    files = built(tmp_path, talk(1, '{"conversation_id": "대화-2"}'), *(talk(number) for number in range(3, 9)))
    assert not any(holds_any(content, {"대화-2"}) for content in files.values())


def test_a_part_may_become_empty(tmp_path: Path) -> None:
    files = built(tmp_path, *(talk(number) for number in range(4)))
    left = without(files, {f"대화-{number}" for number in range(4)})
    assert DatasetCard.model_validate_json(left["card.json"]).parts["train"].samples == 0


def test_a_broken_card_goes_rather_than_staying_wrong(tmp_path: Path) -> None:
    files = built(tmp_path, *(talk(number) for number in range(30))) | {"card.json": b"{"}
    assert set(without(files, {"대화-1"})) == {"train.jsonl", "holdout.jsonl", "anchors.jsonl"}


def test_a_line_cut_short_by_a_kill_is_found_once_it_names_its_conversation() -> None:
    whole = b'{"sample_id": "s", "conversation_id": "c1", "messages": [{"role": "user", "content": "\xec\x95\x88'
    assert list(rows_of(whole, {"c1"})) == [whole]
    assert not holds_any(whole[:40], {"c1"})
