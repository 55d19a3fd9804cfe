from __future__ import annotations

import random

import pytest

from nabi.registry.regression import Measured, find_regression, may_be_worse, surely_not_worse


def _answers(
    num: int,
    seed: int,
    *,
    broken: float = 0.02,
    disliked: float = 0.1,
    seconds: float = 1.0,
    chars: int = 40,
) -> list[Measured]:
    drawn = random.Random(seed)
    return [
        Measured(
            num_chars=round(drawn.gauss(chars, 8)),
            seconds=abs(drawn.gauss(seconds, 0.2)),
            broke_a_rule=drawn.random() < broken,
            reaction=(-1.0 if drawn.random() < disliked else 1.0) if drawn.random() < 0.5 else None,
        )
        for _ in range(num)
    ]


def test_equally_good_versions_are_left_alone_however_often_one_looks() -> None:
    """Forty versions as good as the one before, each looked at twenty times in its first thousand answers."""
    alarms = 0
    for seed in range(40):
        reference, recent = _answers(300, seed), _answers(1000, 10_000 + seed)
        alarms += any(find_regression(reference, recent[:num]) for num in range(50, 1001, 50))
    assert alarms <= 1


@pytest.mark.parametrize(
    ("worse", "measure"),
    [
        ({"broken": 0.4}, "rules broken"),
        ({"disliked": 0.7}, "disliked"),
        ({"seconds": 2.0}, "unusually slow"),
        ({"chars": 90}, "unusually short or long"),
        ({"chars": 5}, "unusually short or long"),
    ],
)
def test_a_worse_version_is_found_soon_and_by_its_measure(worse: dict[str, float], measure: str) -> None:
    for seed in range(3):
        reference, recent = _answers(300, seed), _answers(200, 50 + seed, **worse)
        found = next(
            (regression for num in range(30, 201, 5) if (regression := find_regression(reference, recent[:num]))), None
        )
        assert found is not None
        assert found.measure == measure
        assert found.now > found.before
        assert found.num <= 120
        assert f"{found.num} answers" in str(found)


def test_a_better_version_is_left_alone() -> None:
    assert find_regression(_answers(300, 1, broken=0.3), _answers(500, 2, broken=0.0, disliked=0.0)) is None


def test_with_little_evidence_nothing_is_decided() -> None:
    awful = _answers(29, 3, broken=1.0)
    assert find_regression(_answers(300, 1), awful) is None
    assert find_regression(_answers(49, 1), _answers(300, 3, broken=1.0)) is None
    assert find_regression(_answers(300, 1), _answers(30, 3, broken=1.0)) is not None


def test_an_equal_version_takes_its_step_in_time_and_a_worse_one_hardly_ever() -> None:
    """However often one looks; the worse one breaks a rule by the whole margin more often."""
    equal, worse = 0, 0
    for seed in range(60):
        reference = _answers(300, seed)
        equal += surely_not_worse(reference, _answers(800, 1000 + seed), 0.1, first_look=100) is not None
        bad = _answers(1600, 1000 + seed, broken=0.13)
        worse += any(surely_not_worse(reference, bad[:num], 0.1, first_look=100) for num in range(50, 1601, 50))
    assert equal >= 55
    assert worse <= 4


def test_a_look_counts_only_the_answers_up_to_it() -> None:
    """After 100 answers it was sure; what came later is the watch's to judge, not this test's."""
    reference, recent = _answers(300, 1), _answers(100, 4, broken=0.0, disliked=0.0)
    assert surely_not_worse(reference, recent[:99], 0.15, first_look=100) is None
    assert surely_not_worse(reference, recent, 0.15, first_look=100) == 100
    assert surely_not_worse(reference, [*recent, *_answers(60, 5, broken=1.0)], 0.15, first_look=100) == 100


def test_few_answers_settle_nothing() -> None:
    assert may_be_worse(_answers(300, 1), _answers(12, 2), 0.1, 0.05)
    assert may_be_worse(_answers(300, 1), [], 0.1, 0.05)
