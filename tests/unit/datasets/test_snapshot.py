"""Dataset versions: who goes where, what stays apart, and equal bytes for equal data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.datasets.files import read_samples
from nabi.datasets.snapshot import Snapshot, bootstrap_needed, build_snapshot, load_snapshot
from nabi.datasets.split import part_of
from nabi.errors import DataError
from nabi.personas.model import Bootstrap, Evaluation, Persona

START = datetime(2026, 7, 1, tzinfo=UTC)
SHARE = 0.2


def make_persona(*, catalogue: bool = True, anchors: int = 10, target: int = 60) -> Persona:
    return Persona(
        id="p",
        name="시험",
        system_prompt="짧게 답하세요.",
        bootstrap=Bootstrap(workbook=Path("x.xlsx"), target=target) if catalogue else None,
        evaluation=Evaluation(anchors=anchors, holdout_share=SHARE),
    )


def talk(conversation_id: str, minute: int = 0, *, text: str | None = None, source: str = "chat") -> Conversation:
    text = text or conversation_id
    return Conversation(
        conversation_id=conversation_id,
        persona_id="p",
        source=source,
        occurred_at=START + timedelta(minutes=minute),
        messages=(
            Message(role="user", content=f"질문 {text}"),
            Message(role="assistant", content=f"{text}번 답이에요."),
        ),
        consent=Consent(training=True),
        kind="budget" if minute % 2 else None,
    )


def logs(start: int, stop: int) -> list[Conversation]:
    return [talk(f"log-{number}", number) for number in range(start, stop)]


def dialogues(num: int = 100) -> list[Conversation]:
    return [talk(f"cat-{number}", source="bootstrap") for number in range(num)]


def ids(path: Path) -> set[str]:
    return {sample.conversation_id for sample in read_samples(path)}


def files(snapshot: Snapshot) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in snapshot.folder.iterdir()}


def first_with(part: str, prefix: str) -> str:
    return next(c for c in (f"{prefix}-{n}" for n in range(1000)) if part_of(c, SHARE, "p") == part)


def test_thin_logs_are_filled_up_to_the_target_and_no_further(tmp_path: Path) -> None:
    snapshot = build_snapshot(make_persona(), [], logs(0, 12), dialogues(), tmp_path)
    assert snapshot.num_bootstrap == bootstrap_needed(12, 60) == 48
    assert snapshot.num_train + snapshot.num_holdout == 60
    assert snapshot.num_anchors == 10
    assert snapshot.num_new == 12
    assert bootstrap_needed(700, 600) == 0


def test_equal_inputs_give_equal_bytes_in_whatever_order(tmp_path: Path) -> None:
    one = build_snapshot(make_persona(), logs(0, 20), logs(20, 50), dialogues(), tmp_path / "one")
    two = build_snapshot(make_persona(), logs(0, 20)[::-1], logs(20, 50)[::-1], dialogues()[::-1], tmp_path / "two")
    again = build_snapshot(make_persona(), logs(0, 20), logs(20, 50), dialogues(), tmp_path / "one")
    assert files(one) == files(two) == files(again)
    assert one.digest == two.digest


def test_other_data_give_another_digest(tmp_path: Path) -> None:
    one = build_snapshot(make_persona(), [], logs(0, 20), dialogues(), tmp_path / "one")
    two = build_snapshot(make_persona(), [], logs(0, 21), dialogues(), tmp_path / "two")
    assert one.digest != two.digest


def test_no_conversation_and_no_text_is_on_two_sides(tmp_path: Path) -> None:
    snapshot = build_snapshot(make_persona(), [], logs(0, 80), dialogues(), tmp_path)
    train, holdout, anchors = (
        ids(path) for path in (snapshot.train_file, snapshot.holdout_file, snapshot.anchors_file)
    )
    assert train.isdisjoint(holdout | anchors)
    assert holdout.isdisjoint(anchors)
    assert holdout <= {c.conversation_id for c in logs(0, 80)}
    assert len(holdout) > 5


def test_nothing_moves_when_logs_grow(tmp_path: Path) -> None:
    before = build_snapshot(make_persona(), [], logs(0, 40), dialogues(), tmp_path)
    old_train, old_holdout = ids(before.train_file), ids(before.holdout_file)
    after = build_snapshot(make_persona(), logs(0, 40), logs(40, 90), dialogues(), tmp_path)
    assert old_holdout <= ids(after.holdout_file)
    assert {c for c in old_train if c.startswith("log")} <= ids(after.train_file)
    assert {c for c in ids(after.train_file) if c.startswith("cat")} <= old_train


def test_the_holdout_marks_what_is_new(tmp_path: Path) -> None:
    snapshot = build_snapshot(make_persona(), logs(0, 40), logs(40, 90), dialogues(), tmp_path)
    marked = {s.conversation_id for s in read_samples(snapshot.holdout_file) if s.is_new}
    assert marked == ids(snapshot.holdout_file) & {c.conversation_id for c in logs(40, 90)}
    assert marked
    assert not any(s.is_new for s in read_samples(snapshot.train_file))


def test_anchors_stay_byte_for_byte_whatever_the_catalogue_becomes(tmp_path: Path) -> None:
    first = build_snapshot(make_persona(), [], logs(0, 12), dialogues(), tmp_path)
    frozen = first.anchors_file.read_bytes()
    second = build_snapshot(make_persona(anchors=30), logs(0, 12), logs(12, 30), dialogues(200)[50:], tmp_path)
    assert second.anchors_file.read_bytes() == frozen
    assert ids(second.train_file).isdisjoint(ids(second.anchors_file))


def test_a_dialogue_that_reads_like_an_anchor_is_not_trained_on(tmp_path: Path) -> None:
    first = build_snapshot(make_persona(), [], logs(0, 12), dialogues(), tmp_path)
    anchored = read_samples(first.anchors_file)[0].conversation_id
    copies = [*dialogues(), talk("cat-copy", text=f"{anchored} !", source="bootstrap")]
    second = build_snapshot(make_persona(target=500), [], logs(0, 12), copies, tmp_path)
    assert "cat-copy" not in ids(second.train_file)


def test_a_log_that_reads_like_an_anchor_is_left_out_and_counted(tmp_path: Path) -> None:
    first = build_snapshot(make_persona(), [], logs(0, 12), dialogues(), tmp_path)
    anchored = read_samples(first.anchors_file)[0].conversation_id
    copy = talk(first_with("train", "copy"), 99, text=anchored)
    second = build_snapshot(make_persona(), logs(0, 12), [copy], dialogues(), tmp_path)
    assert second.card.left_out == {"train sample with a text of anchors": 1}
    assert copy.conversation_id not in ids(second.train_file)


@pytest.mark.parametrize(("first", "later"), [("train", "holdout"), ("holdout", "train")])
def test_a_text_belongs_to_the_part_of_its_first_conversation(tmp_path: Path, first: str, later: str) -> None:
    early, late = (talk(first_with(part, "same"), minute, text="같은 말") for part, minute in ((first, 5), (later, 9)))
    snapshot = build_snapshot(make_persona(), [early], [late], dialogues(), tmp_path)
    assert snapshot.card.left_out == {f"{later} sample with a text of {first}": 1}
    file = snapshot.train_file if first == "train" else snapshot.holdout_file
    assert early.conversation_id in ids(file)
    assert late.conversation_id not in ids(snapshot.train_file) | ids(snapshot.holdout_file)


def test_without_a_catalogue_the_first_large_enough_holdout_freezes_the_anchors(tmp_path: Path) -> None:
    persona = make_persona(catalogue=False)
    small = build_snapshot(persona, [], logs(0, 20), [], tmp_path)
    assert (small.num_anchors, small.num_bootstrap) == (0, 0)
    large = build_snapshot(persona, logs(0, 20), logs(20, 120), [], tmp_path)
    assert large.num_anchors == 10
    assert ids(large.anchors_file).isdisjoint(ids(large.holdout_file) | ids(large.train_file))
    assert all(part_of(c, SHARE, "p") == "holdout" for c in ids(large.anchors_file))
    frozen = large.anchors_file.read_bytes()
    later = build_snapshot(persona, logs(0, 120), logs(120, 200), [], tmp_path)
    assert later.anchors_file.read_bytes() == frozen


def test_too_few_dialogues_for_the_anchors_are_told(tmp_path: Path) -> None:
    same = [talk(f"cat-{n}", text="한 가지", source="bootstrap") for n in range(50)]
    with pytest.raises(DataError, match="gives only 1 different dialogues"):
        build_snapshot(make_persona(), [], logs(0, 12), same, tmp_path)


def test_a_conversation_of_another_persona_is_refused(tmp_path: Path) -> None:
    stranger = talk("x").model_copy(update={"persona_id": "other"})
    with pytest.raises(DataError, match="belongs to 'other'"):
        build_snapshot(make_persona(), [], [stranger], dialogues(), tmp_path)


def test_a_conversation_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="stand twice, first log-3"):
        build_snapshot(make_persona(), logs(0, 5), logs(3, 4), dialogues(), tmp_path)


def test_a_conversation_without_an_answer_is_refused(tmp_path: Path) -> None:
    question = talk("x").model_copy(update={"messages": (Message(role="user", content="?"),) * 2})
    with pytest.raises(DataError, match="does not end with an answer"):
        build_snapshot(make_persona(), [], [question], dialogues(), tmp_path)


def test_nothing_to_train_on_is_told_and_leaves_the_old_dataset(tmp_path: Path) -> None:
    persona = make_persona(catalogue=False)
    old = files(build_snapshot(persona, [], logs(0, 20), [], tmp_path))
    with pytest.raises(DataError, match="nothing is left to train p on"):
        build_snapshot(persona, [], [], [], tmp_path)
    assert files(load_snapshot(tmp_path / "p")) == old


def test_a_snapshot_is_read_back_and_checked(tmp_path: Path) -> None:
    built = build_snapshot(make_persona(), [], logs(0, 30), dialogues(), tmp_path)
    assert load_snapshot(tmp_path / "p") == built
    built.train_file.write_bytes(built.train_file.read_bytes() + b"\n")
    with pytest.raises(DataError, match="are not those of the card"):
        load_snapshot(tmp_path / "p")
    with pytest.raises(DataError, match="no whole dataset"):
        load_snapshot(tmp_path / "q")


def test_a_crash_in_the_middle_of_the_swap_never_loses_the_anchors(tmp_path: Path) -> None:
    first = build_snapshot(make_persona(), [], logs(0, 12), dialogues(), tmp_path)
    frozen = first.anchors_file.read_bytes()
    first.folder.rename(tmp_path / ".p.aside")
    second = build_snapshot(make_persona(), [], logs(0, 12), dialogues()[60:], tmp_path)
    assert second.anchors_file.read_bytes() == frozen


def test_the_card_counts_what_is_in_the_files(tmp_path: Path) -> None:
    snapshot = build_snapshot(make_persona(), logs(0, 12), logs(12, 30), dialogues(), tmp_path)
    train, card = snapshot.card.parts["train"], snapshot.card
    assert train.by_source == {"bootstrap": 30, "chat": snapshot.num_train - 30}
    assert sum(train.by_kind.values()) == train.samples == len(read_samples(snapshot.train_file))
    assert (card.num_logged, card.num_new, card.num_bootstrap) == (30, 18, 30)
    assert card.shares["train"] + card.shares["holdout"] + card.shares["anchors"] == pytest.approx(1, abs=1e-5)
    page = (snapshot.folder / "card.md").read_text(encoding="utf-8")
    assert f"`{snapshot.digest}`" in page
    assert "| budget |" in page
