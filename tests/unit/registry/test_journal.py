from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest

from nabi.database.engine import Database
from nabi.errors import DataError
from nabi.registry.journal import DECIDED, LIVE, REPLAY, Decided, Ended, Journal, RowOrigin

SEOUL = timezone(timedelta(hours=9))
NOON = datetime(2026, 7, 1, 12, tzinfo=SEOUL)


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


def decide(journal: Journal, as_of: datetime, state: Ended, *, dataset: str = "d1", adapter: str = "p--v1") -> None:
    journal.start("p", as_of)
    journal.finish("p", as_of, state, f"{state}.", dataset_version=dataset, adapter_version=adapter)


@pytest.mark.parametrize("state", get_args(Decided))
def test_a_decided_window_is_not_run_again(journal: Journal, state: Decided) -> None:
    assert journal.start("p", NOON) is None
    finished = journal.finish(
        "p",
        NOON,
        state,
        "새 샘플 12개, 50개가 필요해요",
        dataset_version="d1",
        adapter_version="p--v1",
        mlflow_run_id="run",
        figures={"gain": 0.081, "num_new": 12, "none": None},
    )
    assert journal.start("p", NOON) == finished
    assert finished.state == state
    assert finished.sentence == "새 샘플 12개, 50개가 필요해요"
    assert finished.figures == {"gain": 0.081, "num_new": 12, "none": None}
    assert finished.finished_at is not None


def test_the_same_moment_in_another_zone_is_the_same_window(journal: Journal) -> None:
    decide(journal, NOON, "kept")
    assert journal.start("p", NOON.astimezone(UTC)) is not None


def test_a_running_window_may_be_started_again(journal: Journal) -> None:
    """Its run was killed."""
    assert journal.start("p", NOON) is None
    assert journal.start("p", NOON) is None
    assert [(standing.state, standing.finished_at) for standing in journal.latest("p")] == [("running", None)]


def test_a_failed_window_may_be_started_again_and_forgets_its_failure(journal: Journal) -> None:
    decide(journal, NOON, "failed")
    assert journal.start("p", NOON) is None
    standing = journal.latest("p")[0]
    assert (standing.state, standing.sentence, standing.adapter_version) == ("running", "", None)


def test_the_first_decision_stands(journal: Journal) -> None:
    """A second run of the same window that comes late, or fails late, does not rewrite it."""
    decide(journal, NOON, "deployed")
    late = journal.finish("p", NOON, "failed", "late")
    assert (late.state, late.sentence) == ("deployed", "deployed.")
    assert journal.latest("p") == [late]


def test_a_window_that_was_never_started_cannot_be_finished(journal: Journal) -> None:
    with pytest.raises(DataError, match="never started"):
        journal.finish("p", NOON, "kept", "?")


def test_decided_failed_and_cancelled_are_all_the_ways_to_end() -> None:
    assert {*DECIDED, "failed", "cancelled"} == set(get_args(Ended))


def test_the_latest_windows_come_newest_first_and_of_one_persona(journal: Journal) -> None:
    for hours in (6, 0, 12, 18):
        journal.start("p", NOON + timedelta(hours=hours))
    journal.start("other", NOON)
    assert [standing.as_of for standing in journal.latest("p", num=3)] == [
        NOON + timedelta(hours=hours) for hours in (18, 12, 6)
    ]


def test_one_window_counts_one_training_however_often_it_is_started(journal: Journal) -> None:
    for _ in range(3):
        journal.record_training("p", NOON)
    assert journal.trainings_on_day("p", NOON, "Asia/Seoul") == 1


def test_a_training_recorded_by_many_at_once_counts_once(journal: Journal) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: journal.record_training("p", NOON), range(8)))
    assert journal.trainings_on_day("p", NOON, "Asia/Seoul") == 1


def test_a_day_goes_from_midnight_to_midnight_where_the_persona_lives(journal: Journal) -> None:
    midnight = datetime(2026, 7, 1, 0, 0, tzinfo=SEOUL)
    for hours in (-0.01, 0, 6, 12, 24):
        journal.record_training("p", midnight + timedelta(hours=hours))
    journal.record_training("other", NOON)
    assert journal.trainings_on_day("p", NOON, "Asia/Seoul") == 3
    assert journal.trainings_on_day("p", NOON, "UTC") == 2  # 09:00 to 09:00 in Seoul


def test_a_day_with_a_clock_change_has_its_own_length(journal: Journal) -> None:
    """25 October 2026 has 25 hours in Berlin: the last of them still belongs to it."""
    last_hour = datetime(2026, 10, 25, 22, 30, tzinfo=UTC)
    journal.record_training("p", last_hour)
    assert journal.trainings_on_day("p", datetime(2026, 10, 24, 22, 0, tzinfo=UTC), "Europe/Berlin") == 1
    assert journal.trainings_on_day("p", datetime(2026, 10, 25, 23, 0, tzinfo=UTC), "Europe/Berlin") == 0


def test_a_restarted_window_is_not_stopped_by_its_own_training(journal: Journal) -> None:
    journal.record_training("p", NOON - timedelta(hours=6))
    journal.record_training("p", NOON)
    assert journal.other_trainings_on_day("p", NOON, "Asia/Seoul") == 1


def test_a_dataset_is_recorded_once(journal: Journal) -> None:
    rows = [RowOrigin("s2", "c2", "holdout"), RowOrigin("s1", "c1", "train")]
    assert journal.record_dataset("d1", "p", rows) == 2
    assert journal.record_dataset("d1", "p", rows) == 0
    assert journal.rows_of("d1", "p") == [rows[1], rows[0]]


def test_a_dataset_version_tells_its_conversations(journal: Journal) -> None:
    rows = [RowOrigin("s1", "c2", "train"), RowOrigin("s2", "c2", "train"), RowOrigin("s3", "c1", "anchor")]
    journal.record_dataset("d1", "p", rows)
    journal.record_dataset("d1", "other", [RowOrigin("s9", "c9", "train")])
    assert journal.conversations_of("d1", "p") == ["c1", "c2"]


def test_lineage_goes_from_an_adapter_to_what_it_was_trained_on(journal: Journal) -> None:
    journal.record_dataset("d1", "p", [RowOrigin("s1", "c1", "train"), RowOrigin("s2", "c2", "holdout")])
    journal.record_dataset("d1", "other", [RowOrigin("s3", "c3", "train")])
    decide(journal, NOON, "deployed")
    assert journal.trained_on("p--v1") == ["c1"]
    assert journal.trained_on("p--v2") == []


def test_lineage_goes_from_a_conversation_to_every_dataset_and_adapter(journal: Journal) -> None:
    """A kept-out candidate was trained on it too, and a held-out row trained nobody."""
    journal.record_dataset("d1", "p", [RowOrigin("s1", "c1", "train"), RowOrigin("s2", "c2", "holdout")])
    journal.record_dataset("d2", "p", [RowOrigin("s1", "c1", "train")])
    journal.record_dataset("d3", "p", [RowOrigin("s1", "c1", "train")])
    decide(journal, NOON, "deployed")
    decide(journal, NOON + timedelta(hours=6), "kept", dataset="d2", adapter="p--v2")
    decide(journal, NOON + timedelta(hours=12), "kept", dataset="d2", adapter="p--v3")
    found = [(row.dataset_version, row.part, row.adapter_versions) for row in journal.memberships("c1")]
    assert found == [("d1", "train", ("p--v1",)), ("d2", "train", ("p--v2", "p--v3")), ("d3", "train", ())]
    assert [row.adapter_versions for row in journal.memberships("c2")] == [()]
    assert journal.memberships("nobody") == []


def test_gates_are_counted_over_days_back_from_a_window_without_it(journal: Journal) -> None:
    for hours, state in ((0, "kept"), (-6, "deployed"), (-12, "skipped"), (-167, "kept"), (-168, "kept"), (6, "kept")):
        decide(journal, NOON + timedelta(hours=hours), state, adapter=f"p--v{hours + 200}")
    journal.start("p", NOON - timedelta(hours=18))
    journal.finish("p", NOON - timedelta(hours=18), "failed", "failed.", adapter_version=None)
    journal.finish("p", NOON - timedelta(hours=12), "skipped", "skipped.")
    assert journal.gates_before("p", NOON, 7) == 2
    assert journal.gates_before("somebody-else", NOON, 7) == 0


def test_a_replay_has_windows_of_its_own(journal: Journal) -> None:
    decide(journal, NOON, "kept")
    assert journal.start("p", NOON, REPLAY) is None
    journal.finish("p", NOON, "won", "won.", dataset_version="d2", adapter_version="p--v2", line=REPLAY)
    live, replayed = journal.standing("p", NOON), journal.standing("p", NOON, REPLAY)
    assert live is not None and replayed is not None
    assert (live.state, replayed.state) == ("kept", "won")
    assert journal.latest("p") == [live]
    assert journal.ended("p") == [live]
    assert journal.latest("p", line=REPLAY) == [replayed]


def test_a_replay_begins_with_what_was_live_and_goes_on_with_its_own_winners(journal: Journal) -> None:
    hours = [NOON + timedelta(hours=6 * i) for i in range(4)]
    for i, as_of in enumerate(hours):
        decide(journal, as_of, "deployed", adapter=f"p--v{i + 1}")
    for i, as_of in enumerate(hours[1:]):
        assert journal.start("p", as_of, REPLAY) is None
        before = [standing.adapter_version for standing in journal.winners_before("p", as_of, REPLAY)]
        assert before == ["p--v1", *(f"p--v{11 + j}" for j in range(i))]
        journal.finish("p", as_of, "won", "won.", dataset_version="d", adapter_version=f"p--v{11 + i}", line=REPLAY)
    live = [standing.adapter_version for standing in journal.winners_before("p", hours[3], LIVE)]
    assert live == ["p--v1", "p--v2", "p--v3"]


def test_a_replays_gates_and_trainings_are_not_those_of_the_live_line(journal: Journal) -> None:
    for hours in (1, 2, 3):
        as_of = NOON + timedelta(hours=hours)
        journal.start("p", as_of, REPLAY)
        journal.finish("p", as_of, "kept", "kept.", adapter_version=f"p--v{hours}", line=REPLAY)
    end = NOON + timedelta(hours=4)
    assert journal.gates_before("p", end, 30) == 0
    assert journal.gates_before("p", end, 30, REPLAY) == 3
    assert journal.other_trainings_on_day("p", end, "Asia/Seoul") == 0
    assert journal.other_replays_on_day("p", end, "Asia/Seoul") == 3
