"""The common ground of nabi's metrics: `evaluate.Metric` in memory, guarded, with one row of values a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

import evaluate

from nabi.errors import DataError

Row = Mapping[str, float]


class PerSampleMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """A metric that measures each sample by itself.

    `compute(...)` returns the mean under each name and, under `per_sample`, one row a sample in the order given. A row
    leaves out what does not apply to its sample, and the mean is over the rows that have the name.
    """

    def __init__(self) -> None:
        # In memory: no cache files, so that runs side by side cannot meet.
        super().__init__(keep_in_memory=True, seed=0)

    def compute(self, *, predictions: Any = None, references: Any = None, **others: Any) -> dict[str, Any]:
        """Measure all samples.

        Raises:
            DataError: there are no samples; `evaluate` itself would fail deep inside Arrow.
        """
        if predictions is None or len(predictions) == 0:
            raise DataError("there are no answers to measure.", where=self.name, fix="Give at least one prompt.")
        measured: dict[str, Any] = super().compute(predictions=predictions, references=references, **others)
        return measured


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """The mean of each name and the rows themselves, as `PerSampleMetric.compute` returns them."""
    names = dict.fromkeys(name for row in rows for name in row)
    means = {name: _mean([row[name] for row in rows if name in row]) for name in names}
    return {**means, "per_sample": [dict(row) for row in rows]}


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
