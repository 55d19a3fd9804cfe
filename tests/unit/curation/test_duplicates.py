"""Duplicates, exact and near, now and against what was learned; different things that sound alike stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nabi.conversations.records import Conversation
from nabi.curation.chain import curate
from nabi.curation.duplicates import EXACT, NEAR, SeenTexts, num_bands_for
from nabi.curation.fingerprints import NUM_HASHES, fingerprints
from nabi.personas.model import Persona

Make = Callable[..., Conversation]
QUESTION = "학교 끝나고 친구랑 먹을 떡볶이 파는 데 알려 줘"
ANSWER = "해맑은분식에서 떡볶이 4,500원에 먹을 수 있어요! 착한가게예요!"


def seen() -> SeenTexts:
    return SeenTexts(0.8, 1024)


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        (QUESTION, ANSWER, EXACT),
        (f"{QUESTION}!!", f" {ANSWER} 😊", EXACT),
        (QUESTION.upper(), ANSWER.replace(" ", ""), EXACT),
        (QUESTION.replace("알려 줘", "알려 줘요"), ANSWER, NEAR),
        (QUESTION, ANSWER.replace("착한가게예요", "착한가게죠"), NEAR),
    ],
)
def test_copies_are_refused_after_the_first(make: Make, question: str, answer: str, reason: str) -> None:
    refused = seen().judge([make(1, QUESTION, ANSWER), make(2, question, answer)])
    assert {row: verdict.reason for row, verdict in refused.items()} == {1: reason}


@pytest.mark.parametrize(
    ("question", "answer", "facts"),
    [
        ("동생이랑 집에서 먹을 거 뭐 있을까", ANSWER, []),
        (QUESTION.replace("떡볶이", "순대"), ANSWER.replace("떡볶이", "순대"), []),
        (QUESTION, "다온편의점에서 떡볶이 3,800원에 팔아요. 배달은 안 돼요!", []),
    ],
)
def test_other_questions_and_other_answers_are_no_copies(
    make: Make, question: str, answer: str, facts: list[dict[str, str]]
) -> None:
    assert seen().judge([make(1, QUESTION, ANSWER), make(2, question, answer, facts=facts)]) == {}


def test_one_word_of_the_question_may_be_all_that_matters(make: Make) -> None:
    """Two allergies, one dish: answer and facts are the same."""
    facts = [{"가게": "반짝 밥상", "메뉴": "콩나물국밥", "알레르기": "난류, 대두"}]
    answer = "조심해요! 반짝 밥상 콩나물국밥에 대두 성분이 있어요. 어른이랑 다른 걸 골라요!"
    pair = [
        make(number, f"혹시 콩나물국밥 안에 {food} 들어가는지 궁금해요", answer, facts=facts)
        for number, food in enumerate(("닭고기도", "새우도"))
    ]
    assert seen().judge(pair) == {}


def test_what_datasets_hold_is_not_learned_again(make: Make, persona: Persona) -> None:
    learned = [make(1, QUESTION, ANSWER)]
    new = [make(2, QUESTION, ANSWER), make(3, "근처에 김밥집 있나요?", "구름위각에 김밥이 있어요. 3,000원이에요!")]
    assert curate(new, persona, learned=learned).counts == {"kept": 1, "duplicate": 1}


def test_forgetting_needs_nothing_here(make: Make, persona: Persona) -> None:
    """What the store forgot leaves no trace: the other's same words count again."""
    assert curate([make(2, QUESTION, ANSWER)], persona, learned=[]).counts == {"kept": 1}


def test_catalogue_dialogues_are_templates_and_neither_judge_nor_are_judged(make: Make, persona: Persona) -> None:
    made = [make(number, QUESTION, ANSWER, source="bootstrap") for number in range(3)]
    assert curate([*made, make(9, QUESTION, ANSWER)], persona).counts == {"kept": 4}


def test_verdicts_do_not_depend_on_how_the_stream_is_cut(
    make: Make, chatter: Callable[[int, int], list[Conversation]]
) -> None:
    rows = chatter(0, 60)
    rows += [row.model_copy(update={"conversation_id": f"again-{number}"}) for number, row in enumerate(rows[::3])]
    at_once = {rows[place].conversation_id for place in seen().judge(rows)}
    one_by_one, memory = set(), seen()
    for row in rows:
        one_by_one |= {row.conversation_id for _place in memory.judge([row])}
    assert at_once == one_by_one
    assert {f"again-{number}" for number in range(20)} <= at_once


def test_memory_stays_the_same_however_much_runs_through(make: Make) -> None:
    memory = SeenTexts(0.8, 1024)
    before = sum(part.nbytes for part in vars(memory).values() if isinstance(part, np.ndarray))
    for start in range(0, 3000, 500):
        memory.judge(
            [
                make(number, f"{number * 7919}번 질문이에요", f"{number * 104729}번 답이에요")
                for number in range(start, start + 500)
            ]
        )
    assert sum(part.nbytes for part in vars(memory).values() if isinstance(part, np.ndarray)) == before


def test_signatures_estimate_likeness(make: Make) -> None:
    prints = fingerprints(
        [make(1, QUESTION, ANSWER), make(2, QUESTION, ANSWER), make(3, "안녕", "반가워요, 뭐 먹을래요?")]
    )
    same = (prints.signatures[0] == prints.signatures[1]).mean()
    other = (prints.signatures[0] == prints.signatures[2]).mean()
    assert same == 1
    assert other < 0.2
    assert prints.digests[0] == prints.digests[1] != prints.digests[2]


@pytest.mark.parametrize("similarity", [0.6, 0.8, 0.9, 0.95])
def test_rows_of_the_wanted_similarity_are_found(similarity: float) -> None:
    bands = num_bands_for(similarity)
    assert 1 - (1 - similarity ** (NUM_HASHES // bands)) ** bands >= 0.95
