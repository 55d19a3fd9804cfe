"""What the server needs of an engine, whether it computes in this process or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from nabi.serving.batching import Answer
from nabi.serving.decoding import Decoding
from nabi.serving.residents import Adapter, Residents
from nabi.training.base_model import BaseRef


class Underway(Protocol):
    """A request on its way."""

    @property
    def answer(self) -> Future[Answer]: ...

    def abandon(self) -> None:
        """Nobody waits for this answer any more."""


class ChatEngine(Protocol):
    """Answers many requests at once over one base; `BatchEngine` says what its methods do."""

    @property
    def ref(self) -> BaseRef: ...

    @property
    def residents(self) -> Residents: ...

    @property
    def num_waiting(self) -> int: ...

    @property
    def num_speaking(self) -> int: ...

    def submit(
        self,
        prompt: Sequence[dict[str, str]],
        adapter: Adapter | None,
        decoding: Decoding,
        *,
        told: Callable[[str], None] | None = None,
    ) -> Underway: ...

    def preload(self, adapter: Adapter) -> None: ...

    def close(self) -> None: ...
