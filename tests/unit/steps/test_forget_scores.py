"""What a deletion takes out of the measurements of an evaluation."""

from __future__ import annotations

import json

from nabi.conversations.erasure import Traces
from nabi.conversations.words import Words
from nabi.steps.forget import _cleaned, _without_scores

TRACES = Traces(frozenset({"c1"}), frozenset({"s1"}), texts=frozenset(), persona_ids=frozenset({"p"}))


def test_scores_of_the_samples_and_questions_asked_because_of_a_conversation_go() -> None:
    rows = [{"sample_id": "s1", "answer": "하나"}, {"sample_id": "s2", "answer": "둘"}]
    probes = [{"probe_id": "planted-c1", "asked": "하나"}, {"probe_id": "planted-c12", "asked": "둘"}]
    measured = {"base": rows, "p--v1": {"name": "p--v1", "scores": rows, "probes": probes, "flaws": {}}}
    left = json.loads(_without_scores(json.dumps(measured).encode(), TRACES))
    assert left["base"] == rows[1:]
    assert left["p--v1"] == {"name": "p--v1", "scores": rows[1:], "probes": probes[1:], "flaws": {}}


def test_measurements_without_them_stay_byte_for_byte() -> None:
    content = b'{"p--v1": {"name": "p--v1", "scores": [], "probes": [], "flaws": {}}}'
    assert _without_scores(content, TRACES) == content


def test_votes_on_the_samples_go_with_them() -> None:
    votes = b'{"sample_id": "s1", "who": "kim", "choice": "new"}\n{"sample_id": "s2", "who": "kim", "choice": "old"}\n'
    for name in ("votes.jsonl", "judge.jsonl"):
        assert _cleaned(name, votes, TRACES, Words(TRACES.texts)) == votes.split(b"\n")[1] + b"\n"
