"""What the two penalties of OpenAI's interface do, written for transformers' own `generate`, to compare with."""

from __future__ import annotations

from typing import Any

from transformers import LogitsProcessor


class Penalties(LogitsProcessor):
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence, with c[j] how often the answer has token j so far.

    Args:
        num_prompt: tokens before the answer, which do not count.
    """

    def __init__(self, num_prompt: int, *, frequency: float, presence: float) -> None:
        self._num_prompt = num_prompt
        self._frequency, self._presence = frequency, presence

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        counts = torch.zeros_like(scores)
        said = input_ids[:, self._num_prompt :]
        counts.scatter_add_(1, said, torch.ones(said.shape, dtype=scores.dtype))
        return scores - counts * self._frequency - (counts > 0) * self._presence
