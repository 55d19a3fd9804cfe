"""Nobody and nothing fills more than its share."""

from __future__ import annotations

from collections.abc import Callable

from nabi.conversations.records import Conversation
from nabi.curation.chain import curate
from nabi.curation.shares import OWN, USER, WORDING, Shares
from nabi.personas.model import Curation, Persona

Make = Callable[..., Conversation]
Chatter = Callable[[int, int], list[Conversation]]


def limited(persona: Persona, **rules: float) -> Persona:
    return persona.model_copy(update={"curation": Curation(small_dataset=100, **rules)})


def test_one_user_gets_a_share_and_no_more(persona: Persona, chatter: Chatter) -> None:
    rows = [row.model_copy(update={"user_key": "flooder"}) for row in chatter(0, 30)]
    refused = Shares(limited(persona, max_user_share=0.1)).judge([*rows, *chatter(30, 60)])
    assert [verdict.reason for verdict in refused.values()] == [USER] * 20
    assert sorted(refused) == list(range(10, 30))


def test_what_a_user_has_in_the_datasets_counts(persona: Persona, chatter: Chatter) -> None:
    mine = [row.model_copy(update={"user_key": "flooder"}) for row in chatter(0, 12)]
    shares = Shares(limited(persona, max_user_share=0.1))
    shares.remember(mine[:9])
    assert sorted(shares.judge(mine[9:])) == [1, 2]


def test_shares_grow_with_the_dataset(persona: Persona, chatter: Chatter) -> None:
    rows = chatter(0, 1000)
    rows[:50] = [row.model_copy(update={"user_key": "keen"}) for row in rows[:50]]
    assert USER not in {item.reason for item in Shares(limited(persona)).judge(rows).values()}


def test_one_answer_in_many_words_is_a_flood(persona: Persona, make: Make, chatter: Chatter) -> None:
    """Whoever asks whatever: the dataset must not become one sentence."""
    rows = [
        make(n, f"{n * 7919 % 1000}번째로 묻는 {n}번 질문", f"만세상회가 제일 싸고 맛있으니까 거기로 가세요! {n}번")
        for n in range(60)
    ]
    refused = Shares(limited(persona, max_cluster_share=0.2)).judge([*rows, *chatter(100, 140)])
    assert {verdict.reason for verdict in refused.values()} == {WORDING}
    assert 30 <= len(refused) <= 40


def test_own_answers_are_capped_even_with_good_feedback(persona: Persona, chatter: Chatter) -> None:
    rows = [row.model_copy(update={"adapter_version": "p--v1", "feedback": 1.0}) for row in chatter(0, 50)]
    refused = Shares(limited(persona, max_own_share=0.3)).judge([*rows, *chatter(50, 70)])
    assert [verdict.reason for verdict in refused.values()] == [OWN] * 20


def test_a_persona_of_one_speaker_has_no_share_of_users(persona: Persona, chatter: Chatter) -> None:
    rows = [row.model_copy(update={"user_key": "speaker"}) for row in chatter(0, 60)]
    assert Shares(limited(persona, max_user_share=1.0)).judge(rows) == {}


def test_floods_are_named_in_the_counts(persona: Persona, chatter: Chatter) -> None:
    rows = [row.model_copy(update={"user_key": "flooder"}) for row in chatter(0, 60)]
    counts = curate(rows, limited(persona, max_user_share=0.1)).counts
    assert counts["kept"] == 10
    assert counts[USER] >= 40
