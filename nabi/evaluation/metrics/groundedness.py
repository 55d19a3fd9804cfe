"""Whether an answer says what it was given, and nothing that it was not."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from nabi.evaluation.claims import Given, Vocabulary, claims_of, passed_on
from nabi.evaluation.metrics.per_sample import PerSampleMetric, Row, summary


class Groundedness(PerSampleMetric):
    """Grounded in the given facts, in [0, 1].

    precision = supported claims / claims of the answer (1 without claims)
    recall    = things the reference takes from the facts that the answer has too / those things
    grounded  = 2 · precision · recall / (precision + recall), the balanced F-measure (van Rijsbergen 1979);
                precision alone where the reference takes nothing; 0 for an empty answer

    Claims are figures, names of the catalogue and yes-or-no traits; see `nabi.evaluation.claims`.

    Inputs: `predictions`, `references` (answers), `facts` (lists of items, each a list of label and value), `turns`
    (all that was said before, with the persona's prompt), `asked` (the user's share of it), and the set's `vocabulary`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=self.__class__.__doc__,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": datasets.Value("string"),
                    "turns": datasets.Value("string"),
                    "asked": datasets.Value("string"),
                    "facts": [[{"label": datasets.Value("string"), "value": datasets.Value("string")}]],
                }
            ),
        )

    def _compute(
        self,
        *,
        predictions: list[str],
        references: list[str],
        turns: list[str],
        asked: list[str],
        facts: list[list[list[dict[str, str]]]],
        vocabulary: Vocabulary,
    ) -> dict[str, Any]:
        given = [
            Given(tuple({entry["label"]: entry["value"] for entry in item} for item in items), said, by_user)
            for items, said, by_user in zip(facts, turns, asked, strict=True)
        ]
        columns = zip(predictions, references, given, strict=True)
        return summary([_row(answer, reference, shown, vocabulary) for answer, reference, shown in columns])


def _row(answer: str, reference: str, given: Given, vocabulary: Vocabulary) -> Row:
    if not answer.strip():
        return {"grounded": 0.0, "precision": 0.0, "recall": 0.0}
    claims = claims_of(answer, given, vocabulary)
    precision = sum(claim.supported for claim in claims) / len(claims) if claims else 1.0
    num_taken, num_kept = passed_on(answer, reference, given)
    if num_taken == 0:
        return {"grounded": precision, "precision": precision}
    recall = num_kept / num_taken
    both = precision + recall
    return {"grounded": 2 * precision * recall / both if both else 0.0, "precision": precision, "recall": recall}
