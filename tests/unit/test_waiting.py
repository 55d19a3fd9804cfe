"""Waiting for what is away: how long, how often, and what is said meanwhile."""

from __future__ import annotations

import time
from itertools import islice
from types import SimpleNamespace

import pytest

from nabi.errors import DataError, GaveUpWaiting, TransientError
from nabi.waiting import CAP_SECONDS, JITTER, Patience, Wait, patient, pauses, persist


class Server:
    """Away for its first `num_failures` calls."""

    def __init__(self, num_failures: int) -> None:
        self.num_failures = num_failures
        self.num_calls = 0

    def __call__(self) -> str:
        self.num_calls += 1
        if self.num_calls <= self.num_failures:
            raise TransientError("the server does not answer")
        return "answer"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses_made: list[float] = []
    # Only this module's clock: threads that other tests left behind sleep too.
    monkeypatch.setattr("nabi.waiting.time", SimpleNamespace(sleep=pauses_made.append))
    return pauses_made


def test_pauses_grow_up_to_a_cap() -> None:
    assert list(islice(pauses(), 8)) == [1, 2, 4, 8, 16, CAP_SECONDS, CAP_SECONDS, CAP_SECONDS]


def test_without_patience_the_first_error_counts() -> None:
    server = Server(num_failures=1)
    with pytest.raises(TransientError):
        persist(server)
    assert server.num_calls == 1


def test_patience_waits_with_jitter_and_says_what_for_and_when_it_is_over(slept: list[float]) -> None:
    told: list[Wait | None] = []
    with patient(Patience(900, told.append)):
        assert persist(Server(num_failures=5)) == "answer"
    assert len(slept) == 5
    for made, pause in zip(slept, pauses(), strict=False):
        assert pause * (1 - JITTER) <= made <= pause * (1 + JITTER)
    assert len({made / pause for made, pause in zip(slept, pauses(), strict=False)}) == 5
    assert told[-1] is None
    waits = [wait for wait in told if wait is not None]
    assert len(waits) == 5
    assert len({wait.since for wait in waits}) == 1
    assert "the server does not answer" in str(waits[0])
    assert f"waiting since {waits[0].since:%H:%M:%S} UTC" in str(waits[-1])


def test_patience_ends() -> None:
    server = Server(num_failures=1000)
    begun = time.monotonic()
    with patient(Patience(0.2, lambda _wait: None)), pytest.raises(GaveUpWaiting, match="the server does not answer"):
        persist(server)
    assert 0.2 <= time.monotonic() - begun < 5


def test_a_second_outage_has_patience_of_its_own(slept: list[float]) -> None:
    told: list[Wait | None] = []
    with patient(Patience(900, told.append)):
        persist(Server(num_failures=3))
        persist(Server(num_failures=1))
    assert slept[3] <= 1 + JITTER
    assert told[3] is None


def test_bad_data_is_not_waited_for(slept: list[float]) -> None:
    def read() -> None:
        raise DataError("the log is empty")

    with patient(Patience(900, lambda _wait: None)), pytest.raises(DataError):
        persist(read)
    assert slept == []


def test_a_nested_call_that_gave_up_is_not_repeated_by_the_outer_one() -> None:
    server = Server(num_failures=1000)
    with patient(Patience(0.1, lambda _wait: None)), pytest.raises(GaveUpWaiting):
        persist(lambda: persist(server))
    assert server.num_calls <= 3
