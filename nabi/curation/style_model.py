"""Who talks like this? Naive Bayes over hashed character n-grams of answers, one class a persona (requirement C5).

Character n-grams hold endings and habits of speech, which is what tells one persona from another. Counting is all the
training there is: it streams, forgets the order, and gives the same model for the same answers everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nabi.curation.fingerprints import gram_hashes

NUM_FEATURES = 2**15
SIZES = (2, 3, 4)
_SMOOTHING = 0.1
_MAX_CHARS = 400
_HELD_OUT = 4
"""Every fourth answer is not counted but measures the model: its margins say what is normal."""

_NORMAL_SHARE = 0.01
"""Share of a persona's own held-out answers that may read like another's before that means something."""

Features = NDArray[np.int64]


@dataclass(frozen=True)
class StyleModel:
    """Log-probabilities (classes × NUM_FEATURES) and each class's lowest margin that is normal for its own answers."""

    names: tuple[str, ...]
    weights: NDArray[np.float32]
    lowest: Mapping[str, float]

    def reads_like(self, answer: str, persona_id: str) -> str | None:
        """The other persona that an answer reads like; None when it reads like its own, or nearly enough."""
        own = self.names.index(persona_id)
        scores = self._scores(features_of(answer))
        rival = int(np.argmax(np.where(np.arange(len(scores)) == own, -np.inf, scores)))
        return self.names[rival] if scores[own] - scores[rival] < self.lowest[persona_id] else None

    def _scores(self, features: Features) -> NDArray[np.float32]:
        """Mean log-probability of an n-gram under each class: answers of any length compare."""
        if not len(features):
            return np.zeros(len(self.names), dtype=np.float32)
        means: NDArray[np.float32] = self.weights[:, features].mean(axis=1)
        return means


def train_style_model(answers: Mapping[str, Iterable[str]], min_samples: int) -> StyleModel | None:
    """Learns from each persona's own answers.

    Args:
        answers: by persona. Personas with fewer than `min_samples` are left out.

    Returns:
        None while fewer than two personas have enough: nobody can be mistaken for nobody.
    """
    features = {name: [features_of(answer) for answer in texts] for name, texts in sorted(answers.items())}
    features = {name: rows for name, rows in features.items() if len(rows) >= min_samples}
    if len(features) < 2:
        return None
    names = tuple(features)
    weights = np.stack([_log_probabilities(_counted(rows)) for rows in features.values()])
    model = StyleModel(names, weights, dict.fromkeys(names, 0.0))
    held_out = [rows[::_HELD_OUT] for rows in features.values()]
    lowest = {name: _lowest_normal(model, place, held_out[place]) for place, name in enumerate(names)}
    return StyleModel(names, weights, lowest)


def features_of(text: str) -> Features:
    """Hashed character n-grams, of a text; digits count as one sign, so prices don't matter."""
    points = np.frombuffer(text[:_MAX_CHARS].lower().encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes: NDArray[np.uint64] = points.astype(np.uint64)
    codes[(codes >= ord("0")) & (codes <= ord("9"))] = ord("0")
    hashed = [gram_hashes(codes, size)[: len(codes) - size + 1] for size in SIZES if len(codes) >= size]
    if not hashed:
        return np.zeros(0, dtype=np.int64)
    return (np.concatenate(hashed) % np.uint64(NUM_FEATURES)).astype(np.int64)


def _counted(rows: Sequence[Features]) -> NDArray[np.float64]:
    """How often each feature is there in the rows that are not held out."""
    counts = np.zeros(NUM_FEATURES)
    for place, row in enumerate(rows):
        if place % _HELD_OUT:
            np.add.at(counts, row, 1)
    return counts


def _log_probabilities(counts: NDArray[np.float64]) -> NDArray[np.float32]:
    smooth = counts + _SMOOTHING
    logs: NDArray[np.float32] = np.log(smooth / smooth.sum()).astype(np.float32)
    return logs


def _lowest_normal(model: StyleModel, own: int, held_out: Sequence[Features]) -> float:
    """The margin below which only `_NORMAL_SHARE` of the own held-out answers lie; never above 0."""
    margins = []
    for row in held_out:
        scores = model._scores(row)
        margins.append(scores[own] - np.delete(scores, own).max())
    return min(0.0, float(np.quantile(margins, _NORMAL_SHARE)))
