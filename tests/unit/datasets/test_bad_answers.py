"""Bad answers in a dataset: a file of their own, far from what is held out, and gone with their conversation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.datasets.bad_answers import BadAnswer, bad_answer_from
from nabi.datasets.card import DatasetCard
from nabi.datasets.files import read_rows, read_samples
from nabi.datasets.redaction import without
from nabi.datasets.snapshot import Snapshot, build_snapshot, load_snapshot
from nabi.datasets.split import part_of
from nabi.errors import DataError
from nabi.personas.model import Evaluation, Persona

START = datetime(2026, 7, 1, tzinfo=UTC)
SHARE = 0.2
PERSONA = Persona(id="p", name="시험", system_prompt="짧게.", evaluation=Evaluation(holdout_share=SHARE))


def talk(name: str, answer: str | None = None) -> Conversation:
    return Conversation(
        conversation_id=name,
        persona_id="p",
        source="chat",
        occurred_at=START + timedelta(minutes=len(name)),
        messages=(
            Message(role="user", content=f"질문 {name}"),
            Message(role="assistant", content=answer or f"{name}의 답이에요."),
        ),
        consent=Consent(training=True),
    )


LOGS = [talk(f"log-{number}") for number in range(40)]


def names(part: str, prefix: str) -> list[str]:
    return [name for name in (f"{prefix}-{n}" for n in range(60)) if part_of(name, SHARE, "p") == part]


IN_TRAIN, NEW = names("train", "log"), names("train", "x")
HELD_OUT = [name for name in names("holdout", "log") if name in {said.conversation_id for said in LOGS}]


def build(folder: Path, *bad: BadAnswer) -> Snapshot:
    return build_snapshot(PERSONA, [], LOGS, [], folder, bad=bad)


def files(snapshot: Snapshot) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in snapshot.folder.iterdir()}


def read(snapshot: Snapshot) -> list[BadAnswer]:
    return read_rows(snapshot.preferences_file, BadAnswer)


def test_without_bad_answers_nothing_tells_of_them(tmp_path: Path) -> None:
    snapshot = build(tmp_path)
    assert set(files(snapshot)) == {"train.jsonl", "holdout.jsonl", "anchors.jsonl", "card.json", "card.md"}
    assert b"preferences" not in files(snapshot)["card.json"]
    assert b"corrected" not in files(snapshot)["card.json"]
    assert (snapshot.num_bad, snapshot.num_corrected) == (0, 0)


def test_bad_answers_lie_beside_the_samples_and_change_none_of_them(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain")
    bad = [
        bad_answer_from(talk(IN_TRAIN[0], "나쁜 답"), f"{IN_TRAIN[0]}의 답이에요."),
        bad_answer_from(talk(NEW[0], "흥")),
    ]
    taught = build(tmp_path / "taught", *bad)
    assert read(taught) == sorted(bad, key=lambda answer: answer.occurred_at)
    for name in ("train.jsonl", "holdout.jsonl", "anchors.jsonl"):
        assert files(plain)[name] == files(taught)[name]
    assert (taught.num_bad, taught.num_corrected) == (2, 1)
    assert taught.digest != plain.digest
    assert load_snapshot(taught.folder).card == taught.card
    assert "2 answers that must not be given again; 1 have a better one." in files(taught)["card.md"].decode()
    assert files(build(tmp_path / "again", *bad[::-1])) == files(taught)


def test_changed_bad_answers_are_noticed(tmp_path: Path) -> None:
    taught = build(tmp_path, bad_answer_from(talk(NEW[0], "흥")))
    taught.preferences_file.write_bytes(taught.preferences_file.read_bytes().replace("흥".encode(), "응".encode()))
    with pytest.raises(DataError, match="are not those of the card"):
        load_snapshot(taught.folder)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bad_answer_from(talk(HELD_OUT[0], "나쁜 답")), "bad answer of a held-out conversation"),
        (bad_answer_from(talk(names("holdout", "new")[0], "나쁜 답")), "bad answer of a held-out conversation"),
        (
            bad_answer_from(talk(HELD_OUT[0]).model_copy(update={"conversation_id": NEW[5]})),
            "bad answer with a text that is held out",
        ),
        (
            bad_answer_from(
                talk(HELD_OUT[0], "나쁜 답").model_copy(update={"conversation_id": NEW[5]}),
                f"{HELD_OUT[0]}의 답이에요.",
            ),
            "bad answer with a text that is held out",
        ),
        (
            bad_answer_from(talk(IN_TRAIN[0]).model_copy(update={"conversation_id": NEW[5]})),
            "bad answer with a text of train",
        ),
    ],
    ids=["held out", "would be held out", "held-out text", "better one held out", "learned as good"],
)
def test_what_touches_another_part_is_left_out_and_counted(tmp_path: Path, bad: BadAnswer, reason: str) -> None:
    snapshot = build(tmp_path, bad)
    assert not snapshot.preferences_file.exists()
    assert snapshot.card.left_out == {reason: 1}


def test_the_same_words_teach_once_and_with_the_better_answer(tmp_path: Path) -> None:
    alone = bad_answer_from(talk(NEW[0], "흥"))
    paired: Any = alone.model_copy(update={"better": "네, 알겠어요.", "sample_id": "other"})
    assert read(build(tmp_path, alone, paired)) == [paired]


def test_a_deleted_conversation_takes_its_bad_answers_along(tmp_path: Path) -> None:
    gone, stays = NEW[:2]
    built = build(tmp_path, bad_answer_from(talk(gone, "흥"), "네."), bad_answer_from(talk(stays, "응")))
    left = without(files(built), {gone})
    assert gone.encode() not in left["preferences.jsonl"]
    card = DatasetCard.model_validate_json(left["card.json"])
    assert (card.parts["preferences"].samples, card.parts["preferences"].corrected) == (1, 0)
    (tmp_path / "left").mkdir()
    for name, content in left.items():
        (tmp_path / "left" / name).write_bytes(content)
    assert load_snapshot(tmp_path / "left").num_bad == 1
    assert len(read_samples(tmp_path / "left" / "train.jsonl")) == built.num_train
    nothing = without(left, {stays})
    assert nothing["preferences.jsonl"] == b""
