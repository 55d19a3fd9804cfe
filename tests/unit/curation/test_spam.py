"""Adverts and strange links are spam; a library's loans and a shop's own page are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nabi.conversations.records import Conversation
from nabi.curation.spam import spam_in
from nabi.curation.texts import Texts

Make = Callable[..., Conversation]

SPAM = [
    "카톡 아이디 abc99 추가하세요",
    "당일 대출 승인 바로 돼요",
    "안전한 토토 사이트 알려 드려요",
    "코인 추천 리딩방 들어와요",
    "원금 보장 고수익 알바 있어요",
    "하루 30만 원 벌 수 있어요",
    "지금 바로 클릭해 봐요",
]
EARNEST = [
    "이 책은 대출 가능하다오",
    "토토로 나오는 책 있어요",
    "광고 없는 도구예요",
    "선착순으로 지급합니다. 구청에 문의해 주세요.",
    "충전은 편의점에서 해요",
]


@pytest.mark.parametrize("words", SPAM)
def test_adverts_are_spam_on_either_side(words: str, make: Make) -> None:
    texts = Texts.of([make(1, words, "그건 몰라요, 밥집을 찾아 줄게요!"), make(2, "뭐 있어?", words)])
    assert set(spam_in(texts, "facts")) == {0, 1}


@pytest.mark.parametrize("words", EARNEST)
def test_earnest_words_are_no_spam(words: str, make: Make) -> None:
    assert spam_in(Texts.of([make(1, "알려 줘", words)]), "facts") == {}


def test_links_come_from_the_facts_or_are_strange(make: Make) -> None:
    known = make(
        1, "도구 알려 줘", "https://moa.example.com/note 를 쓰세요.", facts=[{"주소": "https://moa.example.com/note"}]
    )
    strange = make(2, "도구 알려 줘", "bit.ly/3xYz 여기로 오세요.")
    asked = make(3, "www.naver.com 여기 어때?", "거기는 몰라요, 밥집을 찾아 줄게요!")
    texts = Texts.of([known, strange, asked])
    assert spam_in(texts, "facts") == {1: "bit.ly/3xyz"}
    assert spam_in(texts, "any") == {}
