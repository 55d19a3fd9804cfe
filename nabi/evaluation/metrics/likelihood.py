"""How likely a model finds the answer that was held out."""

from __future__ import annotations

from math import exp, nan
from typing import Any

import datasets
import evaluate

from nabi.evaluation.metrics.per_sample import PerSampleMetric, summary


class AnswerLikelihood(PerSampleMetric):
    """The geometric mean of the held-out answer's token probabilities, in [0, 1].

    likelihood = exp(logprob / tokens), the inverse of the answer's perplexity
    perplexity = exp(-sum of logprobs / sum of tokens) over the whole set (Jelinek et al. 1977)

    An answer without tokens gives NaN, which the gate refuses. Inputs: `predictions` (natural-log probability of each
    answer, summed over its tokens) and `references` (its number of tokens).
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=self.__class__.__doc__,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions: list[float], references: list[int]) -> dict[str, Any]:
        pairs = list(zip(predictions, references, strict=True))
        rows = [{"likelihood": exp(logprob / tokens) if tokens else nan} for logprob, tokens in pairs]
        return {**summary(rows), "perplexity": perplexity(predictions, references)}


def perplexity(logprobs: list[float], num_tokens: list[int]) -> float:
    """exp of the mean negative log-likelihood a token; infinite beyond the range of a float."""
    mean = -sum(logprobs) / sum(num_tokens) if sum(num_tokens) else nan
    return exp(mean) if not mean > 700 else float("inf")
