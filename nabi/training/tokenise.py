"""Samples as token ids and labels: only what the assistant says is learned.

Where a sample carries facts, they were retrieved for its last answer; earlier answers in it speak of other facts that
the prompt no longer shows. Learning those would teach making things up, so only the last answer is learned then.
"""

from __future__ import annotations

import hashlib
import json
import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.samples import Sample, chat_messages
from nabi.errors import DataError

logger = logging.getLogger(__name__)

IGNORED = -100
"""The label of a token that is read but not learned, as torch's cross entropy expects it."""


@dataclass(frozen=True, slots=True)
class TokenisedSample:
    """`input_ids` and `labels` have equal lengths; the last token is one that is learned."""

    sample_id: str
    input_ids: list[int]
    labels: list[int]

    @property
    def row(self) -> dict[str, list[int]]:
        """As `loss.collate` takes it."""
        return {"input_ids": self.input_ids, "labels": self.labels}


@dataclass(frozen=True, slots=True)
class TokenisedBadAnswer:
    """What was said and, where somebody told, what should have been, after the same prompt; only the answer counts."""

    bad: TokenisedSample
    better: TokenisedSample | None


@dataclass(frozen=True, slots=True)
class Tokenised:
    """What fits the context, and the ids of the samples that do not."""

    samples: tuple[TokenisedSample, ...]
    too_long: tuple[str, ...]


class Encode(Protocol):
    """Makes ids and labels of a dialogue, as `encode_answer` does."""

    def __call__(
        self, tokenizer: Any, messages: Sequence[dict[str, str]], *, last_only: bool
    ) -> tuple[list[int], list[int]]: ...


class TokenCache:
    """What one run of trainings has tokenised, by content: what personas or lists of samples share, once.

    A key is the digest of all that the tokens follow from: the tokenizer, the messages with system prompt and facts in
    them, and which turns are learned. Tokens are people's words, which must be gone when they withdraw: they are held
    in this process's memory while the run lasts, and never written to a disk, where a deletion would not find them.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[array[int], array[int]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def encode(self, tokenizer_digest: str) -> Encode:
        """`encode_answer` for the tokenizer of this digest, which looks here first."""

        def look_first(
            tokenizer: Any, messages: Sequence[dict[str, str]], *, last_only: bool
        ) -> tuple[list[int], list[int]]:
            content = json.dumps([tokenizer_digest, list(messages), last_only], sort_keys=True)
            key = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
            if key not in self._known:
                ids, labels = encode_answer(tokenizer, messages, last_only=last_only)
                self._known[key] = (array("q", ids), array("q", labels))
            ids_known, labels_known = self._known[key]
            return ids_known.tolist(), labels_known.tolist()

        return look_first


def tokenise_samples(
    tokenizer: Any,
    samples: Sequence[Sample],
    *,
    system_prompt: str,
    uses_facts: bool,
    max_length: int,
    encode: Encode | None = None,
) -> Tokenised:
    """Tokenise a dataset. Nothing is ever cut: a sample longer than `max_length` is left out and named.

    Args:
        tokenizer: its chat template marks the assistant's turns.
        samples: the dataset.
        system_prompt: the persona's.
        uses_facts: whether the prompt shows a sample's facts.
        max_length: tokens of the longest sample that is kept.
        encode: `TokenCache.encode` where something may be tokenised already; None for `encode_answer`.

    Raises:
        DataError: there are no samples, or none fits.
    """
    kept: list[TokenisedSample] = []
    too_long: list[str] = []
    for sample in samples:
        messages = chat_messages(system_prompt, sample.messages, sample.facts if uses_facts else None)
        ids, labels = (encode or encode_answer)(tokenizer, messages, last_only=uses_facts)
        if len(ids) > max_length:
            too_long.append(sample.sample_id)
        else:
            kept.append(TokenisedSample(sample.sample_id, ids, labels))
    if not kept:
        raise DataError(
            f"no sample to learn from: {len(samples)} given, {len(too_long)} longer than {max_length} tokens",
            fix="Collect shorter conversations, or raise max_length in the persona's recipe or the base's recipe.json;"
            " no sample may be longer than the base's context.",
        )
    if too_long:
        logger.warning("%d samples over %d tokens were left out: %s", len(too_long), max_length, too_long)
    return Tokenised(tuple(kept), tuple(too_long))


def tokenise_bad_answers(
    tokenizer: Any,
    answers: Sequence[BadAnswer],
    *,
    system_prompt: str,
    uses_facts: bool,
    max_length: int,
    encode: Encode | None = None,
) -> list[TokenisedBadAnswer]:
    """Tokenise bad answers. One that is longer than `max_length`, or whose better one is, is left out and named."""

    def tokenise(sample: Sample) -> TokenisedSample:
        messages = chat_messages(system_prompt, sample.messages, sample.facts if uses_facts else None)
        return TokenisedSample(sample.sample_id, *(encode or encode_answer)(tokenizer, messages, last_only=True))

    kept: list[TokenisedBadAnswer] = []
    too_long: list[str] = []
    for answer in answers:
        corrected = answer.corrected()
        made = TokenisedBadAnswer(tokenise(answer), tokenise(corrected) if corrected else None)
        if max(len(row.input_ids) for row in (made.bad, made.better) if row) > max_length:
            too_long.append(answer.sample_id)
        else:
            kept.append(made)
    if too_long:
        logger.warning("%d bad answers over %d tokens were left out: %s", len(too_long), max_length, too_long)
    return kept


def encode_answer(
    tokenizer: Any, messages: Sequence[dict[str, str]], *, last_only: bool
) -> tuple[list[int], list[int]]:
    """Token ids of a dialogue that ends with the assistant, and their labels.

    Args:
        tokenizer: its chat template marks the assistant's turns (`template.ensure_markers`).
        messages: the prompt and the answer.
        last_only: learn the last answer only, not the assistant's earlier turns.

    Returns:
        ids and labels up to the end token of the last answer; what is not learned is labelled `IGNORED`.
    """
    encoded = tokenizer.apply_chat_template(
        _without_control_tokens(tokenizer, messages),
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    mask = list(encoded["assistant_masks"])
    if 1 not in mask:
        raise DataError("the dialogue holds no answer of the assistant", fix="End each sample with an assistant turn.")
    # What follows the last answer (ChatML's line break) is computed for nothing: it is cut.
    end = len(mask) - mask[::-1].index(1)
    start = _start_of_last_run(mask[:end]) if last_only else 0
    ids = list(encoded["input_ids"])[:end]
    labels = [token if mask[place] and place >= start else IGNORED for place, token in enumerate(ids)]
    return ids, labels


def encode_prompt(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Token ids of a dialogue up to the place where the assistant starts to speak."""
    ids: list[int] = tokenizer.apply_chat_template(
        _without_control_tokens(tokenizer, messages), tokenize=True, return_dict=False, add_generation_prompt=True
    )
    return ids


def _start_of_last_run(mask: Sequence[int]) -> int:
    """Where the run of ones that ends the mask begins."""
    start = len(mask)
    while start and mask[start - 1]:
        start -= 1
    return start


def _without_control_tokens(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Take turn markers out of what people wrote: nobody may open a system turn by typing `<|im_start|>`."""
    controls = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    cleaned = []
    for message in messages:
        content = message["content"]
        while any(control in content for control in controls):
            for control in controls:
                content = content.replace(control, "")
        cleaned.append({**message, "content": content})
    return cleaned
