from __future__ import annotations

from pathlib import Path

import pytest

from nabi.training.tiny_base import corpus_words as words
from nabi.training.tiny_base.corpus import make_dialogues
from nabi.training.tiny_base.pretrain import encode, render
from nabi.training.tiny_base.tokenizer import covered_characters, word_pieces

FOLDER = Path(__file__).parents[3] / "models" / "tiny-ko"


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FOLDER)


def test_every_common_syllable_and_emoji_is_one_token_and_comes_back(tokenizer) -> None:
    backend = tokenizer.backend_tokenizer
    assert len(words.SYLLABLES) == 2350
    for character in covered_characters():
        ids = backend.encode(character).ids
        assert len(ids) == 1, character
        assert backend.decode(ids) == character


def test_texts_come_back_unchanged(tokenizer) -> None:
    backend = tokenizer.backend_tokenizer
    texts = ["좋아요 " + emoji for emoji in words.EMOJI]
    texts += [message["content"] for dialogue in make_dialogues(3, 300) for message in dialogue.messages()]
    texts += ["뷁쉛똠 ㅋㅋ 4,500원~ “네”…", "여러\n\n줄 - 과  두 칸", "Figma·Notion 2.0"]
    for text in texts:
        assert backend.decode(backend.encode(text).ids) == text


def test_decomposed_hangul_is_composed(tokenizer) -> None:
    decomposed = "\u1112\u1161\u11ab\u1100\u1173\u11af"
    assert tokenizer.decode(tokenizer.encode(decomposed)) == "한글"


def test_a_name_is_cut_alike_in_a_fact_and_before_a_particle(tokenizer) -> None:
    """Copying is easy only where the tokens to copy are the same."""
    cut = tokenizer.backend_tokenizer
    for name in ("해맑은분식", "쨩번역", "곰돌이 국수집", "별빛우동"):
        alone = cut.encode(f"가게: {name} |").tokens
        spoken = cut.encode(f"네 {name}은 좋습니다").tokens
        inner = cut.encode(f" {name}").tokens
        assert any(alone[i : i + len(inner)] == inner for i in range(len(alone)))
        assert any(spoken[i : i + len(inner)] == inner for i in range(len(spoken)))


def test_its_words_are_those_that_are_one_token_and_end_no_sentence(tokenizer) -> None:
    pieces = word_pieces(tokenizer.backend_tokenizer)
    assert len(pieces) > 500
    assert {"가격", "김치찌개"} <= set(pieces)
    assert not {"입니다", "합니다", "습니까"} & set(pieces)
    for piece in pieces:
        assert 1 in (len(tokenizer.backend_tokenizer.encode(text).ids) for text in (piece, f" {piece}")), piece


def test_the_template_marks_the_assistants_tokens_only(tokenizer) -> None:
    messages = [
        {"role": "system", "content": "당신은 안내원입니다."},
        {"role": "user", "content": "안녕하세요"},
        {"role": "assistant", "content": "안녕하십니까?"},
        {"role": "user", "content": "고마워요"},
        {"role": "assistant", "content": "기쁩니다."},
    ]
    encoded = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(marked) == "안녕하십니까?<|im_end|>기쁩니다.<|im_end|>"


def test_pretraining_sees_what_the_template_writes(tokenizer) -> None:
    for dialogue in make_dialogues(4, 50):
        encoded = tokenizer.apply_chat_template(
            dialogue.messages(), return_dict=True, return_assistant_tokens_mask=True
        )
        (row,) = encode(tokenizer.backend_tokenizer, [dialogue])
        assert tokenizer.decode(encoded["input_ids"]) == render(dialogue)[0]
        assert list(row.ids) == list(encoded["input_ids"])
        assert [weight == 1.0 for weight in row.weights] == [bool(mark) for mark in encoded["assistant_masks"]]
