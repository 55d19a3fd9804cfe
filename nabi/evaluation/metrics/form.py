"""Whether an answer is well formed: its length, its end, its characters, its repetitions."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from nabi.evaluation.answer_text import MAX_DUPLICATE_SHARE, damaged_characters, duplicate_share
from nabi.evaluation.metrics.per_sample import PerSampleMetric, Row, summary


class WellFormed(PerSampleMetric):
    """Share of the four checks that an answer passes, in [0, 1]; 0 for an empty answer.

    length      = its characters lie within the persona's bounds
    finished    = it ended by itself, not at the token limit
    unbroken    = no broken characters (see `answer_text.damaged_characters`)
    unrepeated  = at most `answer_text.MAX_DUPLICATE_SHARE` of its character 4-grams are duplicates

    Inputs: `predictions` (answers), `references` (whether each finished), `min_chars` and `max_chars`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=self.__class__.__doc__,
            features=datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("bool")}),
        )

    def _compute(
        self, predictions: list[str], references: list[bool], min_chars: int, max_chars: int
    ) -> dict[str, Any]:
        columns = zip(predictions, references, strict=True)
        return summary([_row(answer.strip(), finished, min_chars, max_chars) for answer, finished in columns])


def _row(answer: str, finished: bool, min_chars: int, max_chars: int) -> Row:
    checks = {
        "length": float(min_chars <= len(answer) <= max_chars),
        "finished": float(finished),
        "unbroken": float(not damaged_characters(answer)),
        "unrepeated": float(duplicate_share(answer) <= MAX_DUPLICATE_SHARE),
    }
    return {**checks, "form": sum(checks.values()) / len(checks) if answer else 0.0}
