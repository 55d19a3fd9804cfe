"""Whether an answer talks like its persona, as the persona's file declares it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from nabi.evaluation.answer_text import normalised, sentences, without_closing_marks
from nabi.evaluation.metrics.per_sample import PerSampleMetric, Row, summary


class StyleMatch(PerSampleMetric):
    """Agreement with the declared style, in [0, 1].

    endings  = sentences that end like one of the patterns / sentences
    keywords = 1 when the answer holds at least one tone word, else 0
    style    = mean of those that the persona declares (1 when it declares neither), 0 with a forbidden word

    An empty answer scores 0. Inputs: `predictions` and the persona's `endings`, `keywords`, `forbidden` patterns.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=self.__class__.__doc__,
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(
        self, predictions: list[str], endings: Sequence[str], keywords: Sequence[str], forbidden: Sequence[str]
    ) -> dict[str, Any]:
        return summary([_row(normalised(answer), endings, keywords, forbidden) for answer in predictions])


def _row(answer: str, endings: Sequence[str], keywords: Sequence[str], forbidden: Sequence[str]) -> Row:
    parts: dict[str, float] = {}
    if endings:
        said = sentences(answer)
        parts["endings"] = sum(_ends_like(sentence, endings) for sentence in said) / len(said) if said else 0.0
    if keywords:
        parts["keywords"] = float(any(re.search(pattern, answer) for pattern in keywords))
    style = sum(parts.values()) / len(parts) if parts else 1.0
    spoiled = not answer.strip() or any(re.search(pattern, answer) for pattern in forbidden)
    return {**parts, "style": 0.0 if spoiled else style}


def _ends_like(sentence: str, endings: Sequence[str]) -> bool:
    """A pattern may reckon with the closing marks ("요[.!]") or not ("요")."""
    forms = (sentence, without_closing_marks(sentence))
    return any(re.search(rf"(?:{pattern})\s*$", form) for pattern in endings for form in forms)
