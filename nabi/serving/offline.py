"""Prompts that are all known beforehand go through one batch: read, judged, answered greedily."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from nabi.serving.kv_rows import KvRows
from nabi.serving.prefixes import Prefixes
from nabi.serving.prompts import PromptReader
from nabi.serving.slots import AdapterSlots
from nabi.training.loss import MAX_LOGITS

_REFILL_SHARE = 0.25
"""New prompts are read when this share of the rows is free: many at once cost little more than one."""

_TOKENS_AT_ONCE = 1024
"""Tokens in one pass: what layers hand on to each other stays in the processor's cache then."""

_PREFIX_BYTES = 64 * 2**20


@dataclass(slots=True)
class Row:
    """A prompt on its way through the batch, and what became of it.

    Attributes:
        tried: the answer to be judged, its end token included; empty to judge none.
        logprob: of the tried tokens together.
        said: the answer, its end token included where it came to it.
    """

    prompt: list[int]
    tried: list[int]
    speaker: str | None
    slot: int
    logprob: float = 0.0
    said: list[int] = field(default_factory=list)
    finished: bool = False
    begun_at: float = 0.0
    seconds: float = 0.0

    @property
    def lasting(self) -> int:
        """Whatever is held is gone with the batch."""
        return len(self.prompt)


class OfflineBatch:
    """Takes rows through, `num_rows` at once.

    Args:
        held: empty, with room for so many rows.
        num_new: where answers are cut; 0 judges only.
        ends: tokens that end an answer.
    """

    def __init__(self, held: KvRows, slots: AdapterSlots, num_rows: int, num_new: int, ends: Collection[int]) -> None:
        self._held = held
        self._slots = slots
        self._reader = PromptReader(held, slots, Prefixes(_PREFIX_BYTES))
        self._num_rows = num_rows
        self._num_new = num_new
        self._ends = ends
        self._speaking: list[Row] = []

    def run(self, rows: Sequence[Row]) -> None:
        """Judges and answers all of them."""
        # What the memory has no room for fails at once.
        self._held.make_room(max(len(row.prompt) + max(len(row.tried), self._num_new) for row in rows))
        # Those that begin alike are read together.
        waiting = deque(sorted(rows, key=lambda row: (row.slot, row.prompt)))
        while waiting or self._speaking:
            if waiting and len(self._speaking) <= (1 - _REFILL_SHARE) * self._num_rows:
                while waiting and len(self._speaking) < self._num_rows:
                    self._read(self._next(waiting))
            if self._speaking:
                self._step()

    def _next(self, waiting: deque[Row]) -> list[Row]:
        """Those that are read in one pass: no more than there is room for, nor than is computed fast and fits."""
        chosen: list[Row] = []
        tokens, scored = _TOKENS_AT_ONCE, MAX_LOGITS // self._held.vocabulary
        while waiting and len(self._speaking) + len(chosen) < self._num_rows:
            tokens -= len(waiting[0].prompt) + len(waiting[0].tried)
            scored -= _num_scored(waiting[0])
            if chosen and (tokens < 0 or scored < 0):
                break
            chosen.append(waiting.popleft())
        return chosen

    def _read(self, newcomers: Sequence[Row]) -> None:
        started = time.monotonic()
        first = len(self._speaking)
        ordered, logits = self._reader.read(newcomers)
        self._speaking += ordered
        _judge(ordered, logits)
        likeliest = logits.argmax(-1).split([_num_scored(row) for row in ordered])
        for place, (row, tokens) in enumerate(zip(ordered, likeliest, strict=True), start=first):
            row.begun_at = started
            self._say(row, tokens.tolist())
            # All but the last of them was read when it was judged.
            self._held.accept(place, max(0, len(row.said) - 1))
        self._let_go(ordered)

    def _step(self) -> None:
        with self._slots.speaking([row.slot for row in self._speaking]):
            logits = self._held.step([row.said[-1] for row in self._speaking])
        for row, token in zip(self._speaking, logits.argmax(-1).tolist(), strict=True):
            self._say(row, [token])
        self._let_go(list(self._speaking))

    def _say(self, row: Row, likeliest: Sequence[int]) -> None:
        """The likeliest tokens behind the prompt, and behind each tried token as long as those are what is said."""
        for place, token in enumerate(likeliest[: self._num_new]):
            row.said.append(token)
            row.finished = token in self._ends
            if row.finished or (len(likeliest) > 1 and token != row.tried[place]):
                break

    def _let_go(self, rows: Sequence[Row]) -> None:
        """Those of them that have ended."""
        now = time.monotonic()
        for row in rows:
            if row.finished or len(row.said) >= self._num_new:
                row.seconds = now - row.begun_at
                place = next(place for place, other in enumerate(self._speaking) if other is row)
                self._held.drop(place)
                last = self._speaking.pop()
                if last is not row:
                    self._speaking[place] = last


def _num_scored(row: Row) -> int:
    return max(1, len(row.tried))


def _judge(rows: Sequence[Row], logits: Any) -> None:
    """How likely each row's tried tokens are: each by the logits behind the one before it."""
    wanted = [token for row in rows for token in row.tried or [0]]
    losses = cross_entropy(logits, torch.tensor(wanted, device=logits.device), reduction="none")
    for row, own in zip(rows, torch.split(losses.double().cpu(), [_num_scored(row) for row in rows]), strict=True):
        row.logprob = -float(own.sum())
