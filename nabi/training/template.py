"""The chat template with markers around what the assistant says, so that only that is learned."""

from __future__ import annotations

from typing import Any

from nabi.errors import ModelError

END_OF_TURN = "<|im_end|>"

# ChatML as Qwen and the shipped base speak it. The end token stands inside the markers: a model that is not
# taught to end its turn never stops.
CHATML_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '<|im_end|>' -}}{%- endif -%}"
    "{{- '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

_PROBES: tuple[list[dict[str, str]], ...] = (
    [
        {"role": "system", "content": "짧게 답해요.\n\n참고 정보:\n- 가게: 봄분식 | 가격: 4,500원"},
        {"role": "user", "content": "뭐 먹지?"},
    ],
    [
        {"role": "system", "content": "short"},
        {"role": "user", "content": " a  b\n"},
        {"role": "assistant", "content": "네, 좋아요! 😊"},
        {"role": "user", "content": "고마워"},
        {"role": "assistant", "content": "또 봐요."},
    ],
)


def ensure_markers(tokenizer: Any, base_name: str) -> None:
    """Give a tokenizer whose template lacks `{% generation %}` the ChatML one, if both render the same text.

    Raises:
        ModelError: there is no template, or it renders something else, so that its markers cannot be known.
    """
    own = tokenizer.chat_template
    if not own:
        raise ModelError(
            "the tokenizer has no chat template", where=base_name, fix="Choose a base model made for chat (…-Instruct)."
        )
    if "{% generation" in own or "{%- generation" in own:
        return
    if not all(_same_text(tokenizer, probe) for probe in _PROBES):
        raise ModelError(
            "its chat template marks no assistant turns and is not ChatML, so what to learn cannot be told apart",
            where=base_name,
            fix="Put a chat_template.jinja with {% generation %} around the assistant's content into its folder.",
        )
    tokenizer.chat_template = CHATML_TEMPLATE


def _same_text(tokenizer: Any, messages: list[dict[str, str]]) -> bool:
    prompt = messages[-1]["role"] == "user"
    own = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    ours = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=prompt, chat_template=CHATML_TEMPLATE
    )
    return bool(own == ours)


def end_ids(tokenizer: Any) -> tuple[int, ...]:
    """Token ids that end an answer: the end of turn, and the end of text where it is another."""
    known = tokenizer.get_vocab()
    ids = [known[END_OF_TURN]] if END_OF_TURN in known else []
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ids:
        ids.append(tokenizer.eos_token_id)
    return tuple(ids)
