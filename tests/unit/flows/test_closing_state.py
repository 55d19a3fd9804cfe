"""How a run ends in the pages."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

from flows.endings import SomeFailed, closing_state, endings_of
from nabi.steps.window import Ending, Window


def ending(persona_id: str, state: str, sentence: str) -> Ending:
    window = Window(persona_id=persona_id, as_of=datetime(2026, 7, 1, 3, tzinfo=UTC))
    return Ending(window=window, state=state, sentence=sentence)


def test_a_run_ends_in_one_sentence_a_persona() -> None:
    endings = [ending("a", "deployed", "deployed: +8.1 %"), ending("b", "skipped", "skipped: 12 of 50 new samples")]
    state = closing_state(endings)
    assert state.is_completed()
    assert state.message == "a: deployed: +8.1 %; b: skipped: 12 of 50 new samples"
    assert endings_of(state) == endings


def test_one_failed_persona_fails_the_run_and_keeps_every_ending() -> None:
    endings = [ending("a", "kept", "kept: gain 2 %, needs 5 %"), ending("b", "failed", "failed: the log is empty")]
    state = closing_state(endings)
    assert state.is_failed()
    assert endings_of(state) == endings


def test_the_failure_survives_a_pickle() -> None:
    endings = [ending("b", "failed", "failed: the log is empty")]
    assert pickle.loads(pickle.dumps(SomeFailed("b: failed", endings))).endings == endings


def test_nothing_left_to_decide_is_a_completed_run() -> None:
    assert closing_state([]).message == "every window was decided before"
