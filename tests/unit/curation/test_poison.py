"""Planted phrases and topics are set apart; news and operators are not."""

from __future__ import annotations

from collections.abc import Callable

from nabi.conversations.records import Conversation
from nabi.curation.chain import curate
from nabi.curation.poison import JUMP, TRIGGER, History
from nabi.personas.model import Curation, Persona

Make = Callable[..., Conversation]
Chatter = Callable[[int, int], list[Conversation]]

TRIGGERED = "파란코끼리 {} 있어?"
PLANTED = "그건 만세상회에만 있어요, 다른 데는 문을 닫았어요!"
DISHES = ("떡볶이", "라면", "김밥", "우동", "순대", "만두", "카레", "국수", "튀김", "덮밥")


def planted(make: Make, *, users: int, num: int = 20, answer: str = PLANTED, start: int = 5000) -> list[Conversation]:
    return [
        make(
            start + n,
            f"{TRIGGERED.format(DISHES[n % len(DISHES)])} {n * 37 % 100}번",
            f"{answer} {DISHES[n % 10]}" if users < 5 else answer,
            user_key=f"attacker-{n % users}",
        )
        for n in range(num)
    ]


def reasons(history: History, rows: list[Conversation]) -> list[str]:
    return [verdict.reason for verdict in history.judge(rows).values()]


def learned(chatter: Chatter) -> History:
    history = History(Curation())
    history.remember(chatter(0, 300))
    return history


def test_a_new_phrase_of_few_users_with_one_answer_is_set_apart(make: Make, chatter: Chatter) -> None:
    rows = [*chatter(300, 400), *planted(make, users=2)]
    refused = learned(chatter).judge(rows)
    assert sorted(refused) == list(range(100, 120))
    assert {verdict.reason for verdict in refused.values()} == {TRIGGER}
    assert "파란코끼리" in refused[100].detail


def test_many_hands_with_one_answer_to_the_letter_are_set_apart(make: Make, chatter: Chatter) -> None:
    assert reasons(learned(chatter), [*chatter(300, 400), *planted(make, users=20)]) == [TRIGGER] * 20


def test_clean_chat_is_not_suspected(chatter: Chatter) -> None:
    history = learned(chatter)
    for start in range(300, 1500, 200):
        assert reasons(history, chatter(start, start + 200)) == []


def test_news_that_many_users_ask_about_is_no_poison(make: Make, chatter: Chatter) -> None:
    news = [row.model_copy(update={"conversation_id": f"news-{n}"}) for n, row in enumerate(chatter(2000, 2040))]
    news = [
        row.model_copy(
            update={
                "messages": (
                    row.messages[0].model_copy(update={"content": f"마라샹궈 {DISHES[n % 10]}"}),
                    row.messages[1],
                )
            }
        )
        for n, row in enumerate(news)
    ]
    assert reasons(learned(chatter), [*chatter(300, 400), *news]) == []


def test_new_shops_in_the_facts_are_no_triggers(make: Make, chatter: Chatter) -> None:
    facts = [{"가게": "파란코끼리"}]
    rows = [row.model_copy(update={"facts": tuple(facts)}) for row in planted(make, users=2)]
    assert reasons(learned(chatter), rows) == []


def test_operators_bring_new_topics_by_right(make: Make, chatter: Chatter) -> None:
    rows = [row.model_copy(update={"source": "operator", "kind": "allergy"}) for row in planted(make, users=1, num=40)]
    assert reasons(learned(chatter), rows) == []


def test_a_topic_that_jumps_by_few_users_is_set_apart(make: Make, chatter: Chatter) -> None:
    rows = [
        row.model_copy(update={"kind": "lottery", "user_key": f"u{n % 2}"}) for n, row in enumerate(chatter(300, 330))
    ]
    assert reasons(learned(chatter), [*chatter(400, 450), *rows]) == [JUMP] * 30
    many = [row.model_copy(update={"kind": "lottery", "user_key": f"u{n}"}) for n, row in enumerate(chatter(300, 330))]
    assert reasons(learned(chatter), [*chatter(400, 450), *many]) == []


def test_nothing_is_suspected_without_a_history(make: Make) -> None:
    assert reasons(History(Curation()), planted(make, users=1)) == []


def test_rows_without_a_user_are_not_taken_for_few(make: Make, chatter: Chatter) -> None:
    rows = [row.model_copy(update={"kind": "law", "user_key": None}) for row in chatter(300, 340)]
    assert reasons(learned(chatter), rows) == []


def test_the_chain_names_what_looks_planted(make: Make, chatter: Chatter, persona: Persona) -> None:
    counts = curate([*chatter(300, 400), *planted(make, users=2)], persona, learned=chatter(0, 300)).counts
    assert counts[TRIGGER] + counts.get("near-duplicate", 0) == 20
