from __future__ import annotations

from pathlib import Path

import pytest

from nabi.training.tiny_base import corpus_words as words
from nabi.training.tiny_base.corpus import HELD_OUT, TOKENIZING, make_dialogues
from nabi.training.tiny_base.corpus_words import Word, particle_for


@pytest.fixture(scope="module")
def dialogues() -> list:
    return make_dialogues(11, 6000, TOKENIZING)


def test_the_same_seed_gives_the_same_text() -> None:
    assert make_dialogues(5, 300) == make_dialogues(5, 300)
    assert make_dialogues(5, 300) != make_dialogues(6, 300)


def test_held_out_fillings_differ_from_the_training_ones() -> None:
    trained = {d.system_prompt for d in make_dialogues(5, 500)}
    held_out = [d.system_prompt for d in make_dialogues(5, 500, HELD_OUT)]
    assert sum(prompt in trained for prompt in held_out) < 50


@pytest.mark.parametrize(
    ("word", "particle", "expected"),
    [
        ("달빛", "은", "은"),
        ("바다", "은", "는"),
        ("국밥", "이", "이"),
        ("피자", "이", "가"),
        ("라면", "을", "을"),
        ("국수", "을", "를"),
        ("서울", "으로", "로"),
        ("부산", "으로", "으로"),
        ("제주", "으로", "로"),
        ("학교", "과", "와"),
        ("4,500원", "이에요", "이에요"),
        ("10:00~21:00", "이에요", "이에요"),
        ("2", "은", "는"),
        ("8", "으로", "로"),
        ("10%", "이", "이"),
        ("Figma", "을", "를"),
        ("Notion", "을", "을"),
        ("떡볶이(매운맛)", "은", "은"),
    ],
)
def test_particles_follow_the_final_consonant(word: str, particle: str, expected: str) -> None:
    assert particle_for(word, particle) == expected
    assert f"{Word(word):{particle}}" == word + expected


def test_the_words_that_names_are_made_of_stand_in_them() -> None:
    """What is one token to the tokenizer must be met inside names, or it is never copied right."""
    pieces = tuple(f"{first}{second}" for first in "갉넓닭" for second in "뿌쑥")
    with_pieces, without = (make_dialogues(5, 1000, pieces=chosen) for chosen in (pieces, ()))

    def wanted(dialogues: list) -> str:
        return " ".join(value for d in dialogues for exchange in d.exchanges for value in exchange.wanted)

    for piece in pieces:
        assert wanted(with_pieces).count(piece) > 10
        assert piece not in wanted(without)


def test_an_answer_holds_every_value_that_it_should_copy(dialogues: list) -> None:
    for exchange in (exchange for dialogue in dialogues for exchange in dialogue.exchanges):
        assert all(value in exchange.answer for value in exchange.wanted), exchange


def test_copied_values_stand_in_the_facts_or_in_the_question(dialogues: list) -> None:
    for dialogue in dialogues:
        given = [value for fact in dialogue.facts or () for value in fact.values()]
        for exchange in dialogue.exchanges:
            assert all(value in given or value in exchange.question for value in exchange.wanted), exchange


def test_without_found_facts_questions_about_things_are_answered_by_not_knowing(dialogues: list) -> None:
    vain = [d for d in dialogues if d.facts == () and d.domain != "talk"]
    assert len(vain) > 100
    assert all(exchange.answer.startswith("모르겠") for d in vain for exchange in d.exchanges)


def test_every_register_and_many_domains_occur(dialogues: list) -> None:
    registers = [d.register for d in dialogues]
    assert registers.count("formal") > 0.6 * len(registers)
    assert {"polite", "casual"} <= set(registers)
    assert len({d.domain for d in dialogues}) >= 18


def test_the_formal_voice_ends_formally(dialogues: list) -> None:
    answers = [e.answer for d in dialogues if d.register == "formal" for e in d.exchanges if e.task != "copy"]
    assert all(answer.endswith(("니다.", "십시오.", "니까?", "까요?")) for answer in answers)


def test_the_shipped_style_and_its_words_do_not_occur(dialogues: list) -> None:
    """The base must not know beforehand how a shipped persona talks."""
    for dialogue in dialogues:
        text = "\n".join(message["content"] for message in dialogue.messages())
        assert not any(word in text for word in ("나비얌", "냠냠", "어때요? 착한가게"))
        for exchange in dialogue.exchanges:
            if exchange.task != "copy":
                assert not any(emoji in exchange.answer for emoji in words.EMOJI)


def test_no_shop_of_the_catalogue_occurs() -> None:
    """Reads the shipped workbook's shops; the corpus makes up its own."""
    pandas = pytest.importorskip("pandas")
    workbook = Path(__file__).parents[3] / "sample_data.xlsx"
    if not workbook.exists():
        pytest.skip("the workbook is not there yet")
    sheets = pandas.read_excel(workbook, sheet_name=None, header=None, dtype=str)
    shop_cells = sheets["shop"].to_numpy().ravel()
    names = {cell.strip() for cell in shop_cells if isinstance(cell, str) and "가" <= cell.strip()[:1] <= "힣"}
    names = {name for name in names if 4 <= len(name) <= 14}
    made_up = {
        value.replace(" ", "")
        for dialogue in make_dialogues(11, 6000, TOKENIZING)
        for fact in dialogue.facts or ()
        for label, value in fact.items()
        if label == "가게"
    }
    assert not {name.replace(" ", "") for name in names} & made_up
