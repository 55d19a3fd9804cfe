"""Figures of a block are those of each message alone, and hints lose nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_examples import examples

from nabi.conversations.records import Conversation, Message
from nabi.curation.hinted import hinted, plain_text
from nabi.curation.texts import Texts, count_characters
from nabi.evaluation.answer_text import duplicate_share, letters_by_script

TEXT = st.text(st.sampled_from("가나다라ㅋㅎabcAB12 .!?\n😊é中") | st.characters(exclude_characters="\0"), max_size=60)


@examples(60)
@given(st.lists(TEXT, max_size=8))
def test_duplicate_shares_are_those_of_the_evaluation(texts: list[str]) -> None:
    figures = count_characters(texts)
    assert figures.duplicates.tolist() == pytest.approx([duplicate_share(text) for text in texts])


@examples(60)
@given(st.lists(st.text("가힣ㄱㅋㅏabzAZ09 _.😊中あ", max_size=40), max_size=8))
def test_letters_are_counted_by_alphabet(texts: list[str]) -> None:
    figures = count_characters(texts)
    for place, text in enumerate(texts):
        letters = letters_by_script(text)
        assert figures.hangul[place] == letters["hangul"]
        assert figures.latin[place] == letters["latin"]
        assert figures.letters[place] == sum(letters.values())
        assert figures.alnum[place] == sum(map(str.isalnum, text))


@examples(60)
@given(st.lists(TEXT, min_size=1, max_size=8))
def test_finding_in_a_block_finds_what_is_in_each_message(
    contents: list[str],
) -> None:
    pattern = hinted("가나|a\\s*b|1", "가나", "a", "1")
    texts = _texts(contents)
    expected = {place: found for place, text in enumerate(contents) if (found := pattern.find(plain_text(text)))}
    assert texts.find(pattern) == expected


def test_disguises_are_taken_off_before_searching() -> None:
    pattern = hinted("ignore", "ignore")
    assert _texts(["ＩＧＮＯＲＥ", "ig\u200bnore", "Ignore", "İgnore"]).find(pattern) == {
        0: "ignore",
        1: "ignore",
        2: "ignore",
    }


def _texts(contents: list[str]) -> Texts:
    messages = tuple(Message(role="assistant", content=content) for content in contents)
    conversation = Conversation.model_construct(messages=messages)
    return Texts.of([conversation])
