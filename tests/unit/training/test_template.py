from __future__ import annotations

import copy
from typing import Any

import pytest

from nabi.errors import ModelError
from nabi.training.base_model import LoadedBase
from nabi.training.template import CHATML_TEMPLATE, end_ids, ensure_markers

PLAIN_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Drops what the assistant thought before its last answer, as reasoning models' templates do.
THINKING = PLAIN_CHATML.replace(
    "{{ message.content }}", "{% if message.role == 'assistant' %}<think></think>{% endif %}{{ message.content }}"
)


@pytest.fixture
def tokenizer(tiny_base: LoadedBase) -> Any:
    return copy.deepcopy(tiny_base.tokenizer)


def test_a_chatml_template_without_markers_gets_them(tokenizer: Any) -> None:
    tokenizer.chat_template = PLAIN_CHATML
    ensure_markers(tokenizer, "base")
    assert tokenizer.chat_template == CHATML_TEMPLATE


def test_a_template_with_markers_stays_as_it_is(tokenizer: Any) -> None:
    own = CHATML_TEMPLATE.replace("\\n", "\\n\\n")
    tokenizer.chat_template = own
    ensure_markers(tokenizer, "base")
    assert tokenizer.chat_template == own


@pytest.mark.parametrize("template", [THINKING, PLAIN_CHATML.replace("<|im_start|>", "<s>")])
def test_a_template_that_renders_another_text_is_refused(tokenizer: Any, template: str) -> None:
    """Its markers cannot be guessed, and a guess would train on the wrong tokens."""
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match="is not ChatML"):
        ensure_markers(tokenizer, "base")


def test_a_base_without_a_template_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match="no chat template"):
        ensure_markers(tokenizer, "base")


def test_an_answer_ends_at_the_end_of_turn_or_of_text(tokenizer: Any) -> None:
    tokenizer.eos_token = "<|endoftext|>"
    ids = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert end_ids(tokenizer) == tuple(ids)
