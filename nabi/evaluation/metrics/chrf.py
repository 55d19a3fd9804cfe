"""How close an answer's wording is to the reference. Reported beside quality, never part of it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import datasets
import evaluate

from nabi.evaluation.metrics.per_sample import PerSampleMetric, summary

_MAX_ORDER = 6
_BETA = 2


class ChrF(PerSampleMetric):
    """Character n-gram F-score, in [0, 1] (Popović 2015, "chrF", WMT15; https://aclanthology.org/W15-3049).

    The mean over orders 1…6 of the F-measure with beta 2 (recall counts twice) of character n-grams without spaces;
    orders that neither text is long enough for are left out, as sacrebleu does.

    Inputs: `predictions` and `references`, one text each.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=self.__class__.__doc__,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        return summary([{"chrf": _chrf(*pair)} for pair in zip(predictions, references, strict=True)])


def _chrf(answer: str, reference: str) -> float:
    scores = [_order_score(_ngrams(answer, n), _ngrams(reference, n)) for n in range(1, _MAX_ORDER + 1)]
    defined = [score for score in scores if score is not None]
    return sum(defined) / len(defined) if defined else 0.0


def _ngrams(text: str, size: int) -> Counter[str]:
    squeezed = re.sub(r"\s+", "", text)
    return Counter(squeezed[i : i + size] for i in range(len(squeezed) - size + 1))


def _order_score(answer: Counter[str], reference: Counter[str]) -> float | None:
    if not answer and not reference:
        return None
    common = (answer & reference).total()
    if not common:
        return 0.0
    precision, recall = common / answer.total(), common / reference.total()
    return (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)
