"""Keeps what is tested apart from what is trained on: by conversation and by text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from nabi.datasets.samples import Sample
from nabi.errors import DataError


def text_key(sample: Sample) -> tuple[str, str, str]:
    """Question, facts and answer down to letters and digits: near-exact copies have the same key.

    NFC rather than NFKC, which would turn lone jamo such as "ㅋㅋ" into other letters.
    """
    facts = " ".join(f"{label} {value}" for fact in sample.facts for label, value in fact.items())
    return _bare(sample.question), _bare(facts), _bare(sample.answer)


def ensure_apart(train: Iterable[Sample], held_out: Iterable[Sample]) -> None:
    """Checks that no conversation and no text is on both sides.

    Raises:
        DataError: naming the first pair that meets.
    """
    conversations: dict[str, Sample] = {}
    texts: dict[tuple[str, str, str], Sample] = {}
    for sample in held_out:
        conversations[sample.conversation_id] = sample
        texts[text_key(sample)] = sample
    for sample in train:
        twin = conversations.get(sample.conversation_id)
        if twin is None:
            twin = texts.get(text_key(sample))
        if twin is not None:
            raise DataError(
                "a held-out sample is in train too, by conversation or by text.",
                where=f"samples {sample.sample_id} (train) and {twin.sample_id} (held out)",
                fix="Build the dataset again from curated conversations; do not edit its files.",
            )


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFC", text).casefold()))
