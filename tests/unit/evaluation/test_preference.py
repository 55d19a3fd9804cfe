"""What people prefer: who is where nobody can tell, and what votes say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nabi.evaluation.gate import Contender
from nabi.evaluation.preference import Preference, Vote, blind_pairs, objection, preference, votes_needed
from nabi.evaluation.score import PromptScore
from nabi.personas.model import People

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def contender(name: str, num: int = 60, same: int = 0) -> Contender:
    """Says its own name to every prompt but the first `same`."""
    rows = [
        PromptScore(
            sample_id=f"s{place}",
            group="holdout",
            kind="menu",
            answer="네" if place < same else name,
            parts={},
            quality=0.5,
        )
        for place in range(num)
    ]
    return Contender(name=name, scores=tuple(rows))


def test_sides_are_shuffled_and_the_same_for_everybody():
    pairs = blind_pairs(contender("p--v1"), contender("p--v2"), 40)
    assert pairs == blind_pairs(contender("p--v1"), contender("p--v2"), 40)
    assert len(pairs) == 40
    assert 10 <= sum(pair.new_is_left for pair in pairs) <= 30
    for pair in pairs:
        assert (pair.left, pair.right) == (("p--v2", "p--v1") if pair.new_is_left else ("p--v1", "p--v2"))
        assert pair.choice_of("left") == ("new" if pair.new_is_left else "old")
        assert pair.choice_of("right") == ("old" if pair.new_is_left else "new")
        assert pair.choice_of("tie") == "tie"


def test_equal_answers_are_not_asked_about():
    pairs = blind_pairs(contender("p--v1", same=50), contender("p--v2", same=50), 40)
    assert len(pairs) == 10


def vote(number: int, choice: str, who: str = "kim", minutes: int = 0) -> Vote:
    return Vote(sample_id=f"s{number}", who=who, choice=choice, at=NOON + timedelta(minutes=minutes))  # type: ignore[arg-type]


def test_votes_give_a_share_with_an_interval_and_ties_count_for_nobody():
    found = preference(
        [vote(n, "new") for n in range(24)] + [vote(n, "old") for n in range(24, 30)] + [vote(99, "tie")]
    )
    assert (found.num_votes, found.num_ties, found.share) == (31, 1, 0.8)
    assert (found.lower, found.upper) == (pytest.approx(0.627, abs=0.001), pytest.approx(0.905, abs=0.001))
    assert found.figures()["ab/share"] == 0.8


def test_a_later_vote_replaces_the_same_persons_earlier_one_only():
    votes = [vote(1, "old", minutes=5), vote(1, "new", minutes=1), vote(1, "new", who="lee")]
    found = preference(votes)
    assert (found.num_votes, found.share) == (2, 0.5)


def test_no_decided_vote_says_nothing():
    assert preference([]).share is None
    assert preference([vote(1, "tie")]).figures() == {"ab/votes": 1.0, "ab/ties": 1.0}


def test_people_object_below_their_share_and_not_with_ties_alone():
    rules = People(required=True, least_share=0.5)
    assert objection(Preference(20, 0, 0.45, 0.2, 0.7), rules) == "45% of 20 people's votes are for it, needs 50%"
    assert objection(Preference(20, 2, 0.5, 0.2, 0.7), rules) is None
    assert objection(Preference(20, 20, None, 0.0, 1.0), rules) is None


def test_fewer_votes_decide_where_fewer_answers_differ():
    assert votes_needed(60, People(votes=30)) == 30
    assert votes_needed(12, People(votes=30)) == 12
