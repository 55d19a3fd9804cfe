"""How the next token is chosen: the likeliest, or drawn with a seed."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nabi.errors import ConfigError

MAX_STOPS = 4
"""As many as OpenAI's interface takes."""

MAX_STOP_CHARS = 200

MAX_PENALTY = 2.0
"""Either way, as in OpenAI's interface."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How an answer is made.

    Args:
        max_new_tokens: where it is cut.
        temperature: 0 takes the likeliest token each time; 1 draws as the model believes; up to 2.
        top_p: drawn from the likeliest tokens that together hold this share.
        seed: the same seed draws the same answer to the same prompt; None draws anew each time.
        stops: the answer ends before the first of these texts.
        frequency_penalty: taken from a token's logit for each time that the answer has it already, in -2…2.
        presence_penalty: taken once from the logit of each token that the answer has already, in -2…2.
    """

    max_new_tokens: int = 96
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stops: tuple[str, ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; at least 1 is needed.")
        if not 0 <= self.temperature <= 2:
            raise ConfigError(f"temperature {self.temperature:g} is not in 0…2.")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p {self.top_p:g} is not above 0 and at most 1.")
        if len(self.stops) > MAX_STOPS or not all(0 < len(stop) <= MAX_STOP_CHARS for stop in self.stops):
            raise ConfigError(f"stop takes up to {MAX_STOPS} texts of 1 to {MAX_STOP_CHARS} characters.")
        for name in ("frequency_penalty", "presence_penalty"):
            if not abs(getattr(self, name)) <= MAX_PENALTY:
                raise ConfigError(f"{name} {getattr(self, name):g} is not in -{MAX_PENALTY:g}…{MAX_PENALTY:g}.")


class Chooser:
    """Chooses the tokens of one answer. Draws happen on the CPU: a seed means the same on every device."""

    def __init__(self, decoding: Decoding) -> None:
        import torch

        self.decoding = decoding
        self._draws = decoding.temperature > 0
        self._penalises = bool(decoding.frequency_penalty or decoding.presence_penalty)
        self._said: Counter[int] = Counter()
        seed = secrets.randbits(63) if decoding.seed is None else decoding.seed % 2**63
        self._generator = torch.Generator().manual_seed(seed) if self._draws else None

    @property
    def is_plain(self) -> bool:
        """Whether it takes the likeliest token, whatever the answer has already."""
        return not self._draws and not self._penalises

    def next_of(self, logits: Any) -> int:
        """The token that follows, by logits of shape (vocabulary,)."""
        if self._penalises:
            logits = self._penalised(logits)
        token = self._draw(logits) if self._draws else int(logits.argmax())
        self._said[token] += 1
        return token

    def _penalised(self, logits: Any) -> Any:
        """OpenAI's formula: only what the answer itself has counts, not what the prompt says."""
        import torch

        if not self._said:
            return logits
        asked = self.decoding
        less = [num * asked.frequency_penalty + asked.presence_penalty for num in self._said.values()]
        places = torch.tensor(list(self._said), device=logits.device)
        # A copy: the row belongs to the whole batch.
        return logits.index_add(0, places, -torch.tensor(less, dtype=logits.dtype, device=logits.device))

    def _draw(self, logits: Any) -> int:
        import torch

        shares = torch.softmax(logits.double().cpu() / self.decoding.temperature, dim=-1)
        if self.decoding.top_p < 1:
            ordered, places = shares.sort(descending=True, stable=True)
            # A token stays when those before it do not hold the share yet; the first always does.
            ordered[ordered.cumsum(-1) - ordered >= self.decoding.top_p] = 0
            return int(places[torch.multinomial(ordered, 1, generator=self._generator)])
        return int(torch.multinomial(shares, 1, generator=self._generator))


def choose(choosers: Sequence[Chooser], logits: Any) -> list[int]:
    """The next token of every row; logits (rows, vocabulary)."""
    tokens: list[int] = logits.argmax(-1).tolist()
    return [
        token if chooser.is_plain else chooser.next_of(row)
        for token, chooser, row in zip(tokens, choosers, logits, strict=True)
    ]
