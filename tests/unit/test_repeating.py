"""A thread that works again and again, whatever one turn meets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from nabi.errors import TransientError
from nabi.repeating import Repeating

LONG = 3600.0


class Work:
    """Counts its turns, and fails as it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.num_turns = 0
        self.done = threading.Event()

    def __call__(self) -> None:
        self.num_turns += 1
        self.done.set()
        if self.error is not None:
            raise self.error

    def wait(self) -> None:
        assert self.done.wait(30)
        self.done.clear()


@pytest.fixture
def work() -> Work:
    return Work()


def test_it_works_again_and_again_until_it_is_stopped(work: Work) -> None:
    repeating = Repeating("counting", work, every_s=0.001)
    repeating.start()
    for _ in range(3):
        work.wait()
    repeating.stop()
    turns = work.num_turns
    assert not work.done.wait(0.05) or work.num_turns == turns


def test_woken_it_works_at_once(work: Work) -> None:
    repeating = Repeating("counting", work, every_s=LONG)
    repeating.start()
    assert not work.done.wait(0.05)
    repeating.wake()
    work.wait()
    repeating.stop()
    assert work.num_turns == 1


def test_woken_before_its_start_it_begins_with_a_turn(work: Work) -> None:
    repeating = Repeating("counting", work, every_s=LONG)
    repeating.wake()
    repeating.start()
    work.wait()
    repeating.stop()


@pytest.mark.parametrize("error", [TransientError("the database is away."), RuntimeError("nobody expected this")])
def test_no_error_ends_it(work: Work, error: Exception) -> None:
    repeating = Repeating("counting", work, every_s=0.001)
    work.error = error
    repeating.start()
    for _ in range(3):
        work.wait()
    assert repeating.trouble is error
    repeating.stop()


def test_a_stop_waits_for_the_turn_under_way() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(30)
        ended.set()

    repeating = Repeating("slow", work, every_s=LONG)
    repeating.start()
    repeating.wake()
    assert begun.wait(30)
    threading.Timer(0.05, go_on.set).start()
    repeating.stop()
    assert ended.is_set()


def test_a_stop_does_not_wait_for_longer_than_it_is_told() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(30)

    repeating = Repeating("slow", work, every_s=LONG)
    repeating.start()
    repeating.wake()
    assert begun.wait(30)
    repeating.stop(0.01)
    assert not go_on.is_set()  # it came back before the turn could end
    go_on.set()
    repeating.stop()


def test_a_stop_before_the_start_waits_for_nothing(work: Work) -> None:
    Repeating("counting", work, every_s=LONG).stop()
    assert work.num_turns == 0


def test_a_trouble_is_told_when_it_begins_changes_and_ends(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="nabi.repeating")
    repeating = Repeating("counting", work, every_s=LONG)
    told: Callable[[], list[str]] = lambda: [record.getMessage() for record in caplog.records]  # noqa: E731

    work.error = TransientError("the database is away.")
    repeating.turn()
    repeating.turn()
    assert told() == ["counting: the database is away."]
    assert caplog.records[0].exc_info in {None, False}

    work.error = RuntimeError("nobody expected this")
    repeating.turn()
    assert told()[1:] == ["counting: nobody expected this"]
    assert caplog.records[1].exc_info  # for who mends it

    work.error = None
    repeating.turn()
    repeating.turn()
    assert told()[2:] == ["counting works again"]
    assert repeating.trouble is None
