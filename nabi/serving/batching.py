"""Continuous batching: requests of any persona join a running batch, and leave it when their answer is complete.

One thread computes. A request is read (its prompt, its adapter from the disk) by the thread that brings it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from nabi.errors import ModelError, OutOfMemory, TransientError
from nabi.serving.decoding import Chooser, Decoding, choose
from nabi.serving.kv_rows import KvRows
from nabi.serving.prefixes import Prefixes, num_shared
from nabi.serving.prompts import PromptReader
from nabi.serving.residents import Adapter, Checked, Residents
from nabi.serving.slots import AdapterSlots
from nabi.serving.utterance import Utterance
from nabi.training.base_model import BaseRef, LoadedBase, context_length
from nabi.training.template import end_ids
from nabi.training.tokenise import encode_prompt

logger = logging.getLogger(__name__)

Ended = Literal["stop", "length"]

MAX_PROMPT_TOKENS_AT_ONCE = 4096
"""Prompts read between two steps: those who are in the middle of an answer wait no longer than this takes."""

_PATIENCE_S = 2.0
"""How long later requests may overtake one whose adapter finds every slot speaking."""


class QueueFull(TransientError):
    """More requests wait than the server takes."""


class PromptTooLong(ModelError):
    """Prompt and answer together do not fit the base's context."""


class Abandoned(TransientError):
    """The asker went away, or the engine was closed, before the answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. `num_tokens` counts the end token; times are seconds since the request came in."""

    text: str
    num_prompt_tokens: int
    num_tokens: int
    ended: Ended
    seconds_waiting: float
    seconds_to_first: float
    seconds: float


@dataclass(slots=True)
class Pending:
    """A request on its way. `answer` resolves to an `Answer`; `abandon` takes it out of the batch."""

    prompt: list[int]
    lasting: int
    adapter: Adapter | None
    chooser: Chooser
    utterance: Utterance
    told: Callable[[str], None] | None
    checked: Checked | None
    came_at: float
    answer: Future[Answer] = field(default_factory=Future)
    abandoned: bool = False
    begun_at: float = 0.0
    first_at: float = 0.0
    slot: int = 0
    last: int = 0
    tried: tuple[int, ...] = ()

    @property
    def speaker(self) -> str | None:
        """The adapter version's name; None for the bare base."""
        return self.adapter.name if self.adapter else None

    def abandon(self) -> None:
        """Nobody waits for this answer any more."""
        self.abandoned = True


class BatchEngine:
    """Answers many requests at once over one base.

    Args:
        base: the frozen base; no adapter may have been put on it by PEFT.
        num_slots: adapters in memory at once (requirement E5).
        max_slot_bytes: what adapters in memory may take, instead of their number.
        max_rows: answers computed together.
        max_waiting: requests that wait for a row; one more is refused.
        max_prefix_bytes: what the keys and values of beginnings that prompts share may take; 0 keeps none.
    """

    def __init__(
        self,
        base: LoadedBase,
        *,
        num_slots: int = 8,
        max_slot_bytes: int | None = None,
        max_rows: int = 32,
        max_waiting: int = 256,
        max_prefix_bytes: int = 64 * 2**20,
    ) -> None:
        self.base = base
        # With a size in bytes the first adapter tells how many slots there are.
        self._slots = AdapterSlots(base.model, num_slots if max_slot_bytes is None else 1)
        self.prefixes = Prefixes(max_prefix_bytes)
        self.residents = Residents(self._slots, base.ref, max_bytes=max_slot_bytes, evicted=self.prefixes.forget)
        self.max_waiting = max_waiting
        self._max_rows = max_rows
        self._limit = context_length(base.model)
        self._end_ids = frozenset(end_ids(base.tokenizer))
        self._rows = KvRows(base.model, max_rows, self._limit)
        self._reader = PromptReader(self._rows, self._slots, self.prefixes)
        self._speaking: list[Pending] = []
        self._waiting: deque[Pending] = deque()
        self._preloads: deque[tuple[Checked, Future[None]]] = deque()
        self._work = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="nabi-batch", daemon=True)
        self._thread.start()

    @property
    def ref(self) -> BaseRef:
        return self.base.ref

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_speaking(self) -> int:
        return len(self._speaking)

    def submit(
        self,
        prompt: Sequence[dict[str, str]],
        adapter: Adapter | None,
        decoding: Decoding,
        *,
        told: Callable[[str], None] | None = None,
    ) -> Pending:
        """Bring a request in; to be called by a thread that may wait for the disk.

        Args:
            prompt: messages of `chat_messages`, ending with what the user said.
            adapter: who speaks; None for the bare base.
            decoding: how tokens are chosen, and where the answer ends.
            told: gets the answer piece by piece, from the computing thread; it must not wait.

        Raises:
            QueueFull: `max_waiting` requests wait already.
            PromptTooLong: it leaves no room for the answer.
            ModelError: the adapter cannot be loaded.
        """
        self._check_queue()
        ids = encode_prompt(self.base.tokenizer, list(prompt))
        self._check_room(len(ids), decoding.max_new_tokens)
        checked = None
        if adapter is not None and adapter.name not in self.residents:
            checked = self.residents.read(adapter)
        pending = Pending(
            prompt=ids,
            lasting=self._lasting(prompt, ids),
            adapter=adapter,
            chooser=Chooser(decoding),
            utterance=Utterance(self._decode, decoding.stops),
            told=told,
            checked=checked,
            came_at=time.monotonic(),
        )
        with self._work:
            self._check_queue()
            self._waiting.append(pending)
            self._work.notify()
        return pending

    def preload(self, adapter: Adapter) -> None:
        """Put an adapter into a slot before anybody asks for it, and wait until it is there.

        Raises:
            ModelError: it cannot be loaded.
        """
        if adapter.name in self.residents:
            return
        done: Future[None] = Future()
        checked = self.residents.read(adapter)
        with self._work:
            self._preloads.append((checked, done))
            self._work.notify()
        done.result()

    def close(self) -> None:
        """Stop computing; who still waits is told so."""
        with self._work:
            self._closing = True
            self._work.notify()
        self._thread.join()
        self._fail([*self._speaking, *self._waiting], Abandoned("the server is stopping.", fix="Ask again."))
        self._slots.close()

    def _run(self) -> None:
        import torch

        torch.set_num_threads(self.base.threads)
        with torch.inference_mode():
            while self._wait_for_work():
                self._load_ahead()
                if newcomers := self._begin():
                    self._guarded(newcomers, self._read, newcomers)
                if self._speaking:
                    self._guarded(self._speaking, self._step)

    def _wait_for_work(self) -> bool:
        with self._work:
            # What cannot begin now begins when a row or a slot is free, and those come of steps.
            self._work.wait_for(lambda: self._closing or self._waiting or self._preloads or self._speaking)
            return not self._closing

    def _load_ahead(self) -> None:
        while self._preloads:
            checked, done = self._preloads.popleft()
            try:
                # With every slot speaking it is loaded with its first request instead.
                if self.residents.begin(checked.adapter, checked) is not None:
                    self.residents.end(checked.adapter)
            except Exception as error:
                # Whoever asked for it learns of it, whatever it is; this thread goes on with the others.
                done.set_exception(error)
            else:
                done.set_result(None)

    def _begin(self) -> list[Pending]:
        """Takes requests out of the queue that have a row, a slot and room for their prompt, in their order."""
        begun: list[Pending] = []
        blocked: list[Pending] = []
        room = MAX_PROMPT_TOKENS_AT_ONCE
        while self._waiting and len(self._speaking) + len(begun) < self._max_rows and room > 0:
            if blocked and time.monotonic() - blocked[0].came_at > _PATIENCE_S:
                break
            with self._work:
                pending = self._waiting.popleft()
            if pending.abandoned:
                self._fail([pending], Abandoned("nobody waits for this answer."))
                continue
            try:
                slot = self.residents.begin(pending.adapter, pending.checked)
            except Exception as error:
                # The same: an adapter that the device has no memory for must not end everybody's answers.
                self._fail([pending], error)
                continue
            if slot is None:
                blocked.append(pending)
                continue
            pending.slot, pending.checked = slot, None
            pending.begun_at = time.monotonic()
            begun.append(pending)
            room -= len(pending.prompt)
        with self._work:
            self._waiting.extendleft(reversed(blocked))
        return begun

    def _read(self, newcomers: Sequence[Pending]) -> None:
        ordered, logits = self._reader.read(newcomers)
        self._speaking += ordered
        self._hear(ordered, logits)

    def _step(self) -> None:
        with self._slots.speaking([pending.slot for pending in self._speaking]):
            logits = self._rows.step([pending.last for pending in self._speaking])
        self._hear(list(self._speaking), logits)

    def _hear(self, spoken: Sequence[Pending], logits: Any) -> None:
        """One more token for each of these; who has ended, leaves."""
        now = time.monotonic()
        for pending, token in zip(spoken, choose([p.chooser for p in spoken], logits), strict=True):
            pending.first_at = pending.first_at or now
            pending.last = token
            ended = self._take(pending, token)
            if pending.abandoned:
                self._leave(pending)
                self._fail([pending], Abandoned("nobody waits for this answer."))
            elif ended:
                self._leave(pending)
                self._finish(pending, ended)
            elif pending.told and (fresh := pending.utterance.news()):
                pending.told(fresh)

    def _take(self, pending: Pending, token: int) -> Ended | None:
        """Adds a token to an answer; how it ended, if it did."""
        if token in self._end_ids:
            return "stop"
        pending.utterance.add(token)
        if pending.utterance.stopped:
            return "stop"
        return "length" if len(pending.utterance.ids) >= pending.chooser.decoding.max_new_tokens else None

    def _leave(self, pending: Pending) -> None:
        row = next(place for place, other in enumerate(self._speaking) if other is pending)
        self._rows.drop(row)
        last = self._speaking.pop()
        if last is not pending:
            self._speaking[row] = last
        self.residents.end(pending.adapter)

    def _finish(self, pending: Pending, ended: Ended) -> None:
        utterance, now = pending.utterance, time.monotonic()
        if pending.told and (rest := utterance.news(ended=True)):
            pending.told(rest)
        pending.answer.set_result(
            Answer(
                text=utterance.text,
                num_prompt_tokens=len(pending.prompt),
                num_tokens=len(utterance.ids) + (pending.last in self._end_ids),
                ended=ended,
                seconds_waiting=pending.begun_at - pending.came_at,
                seconds_to_first=pending.first_at - pending.came_at,
                seconds=now - pending.came_at,
            )
        )

    def _guarded(self, concerned: Sequence[Pending], work: Callable[..., None], *args: Any) -> None:
        """Computes; when that fails, those concerned are told, and the others go on."""
        import torch

        affected = list(concerned)
        try:
            work(*args)
        except torch.cuda.OutOfMemoryError as error:
            logger.error("the device has too little memory for %d answers at once", len(affected))
            self._give_up(affected, OutOfMemory("the device has too little memory for this request.", fix=str(error)))
        except Exception as error:
            # This thread must outlive whatever one batch meets: everybody's next answer depends on it.
            logger.exception("a batch of %d answers failed", len(affected))
            self._give_up(affected, error)

    def _give_up(self, affected: Iterable[Pending], error: Exception) -> None:
        for pending in affected:
            if any(other is pending for other in self._speaking):
                self._leave(pending)
            elif not pending.answer.done():
                self.residents.end(pending.adapter)
            self._fail([pending], error)

    def _fail(self, requests: Iterable[Pending], error: Exception) -> None:
        for pending in requests:
            if not pending.answer.done():
                pending.answer.set_exception(error)

    def _lasting(self, prompt: Sequence[dict[str, str]], ids: Sequence[int]) -> int:
        """Tokens of the persona's prompt and its facts. What people say is never held for others."""
        if prompt[0]["role"] != "system":
            return 0
        return num_shared(ids, encode_prompt(self.base.tokenizer, [prompt[0], {"role": "user", "content": ""}]))

    def _decode(self, ids: list[int]) -> str:
        text: str = self.base.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _check_queue(self) -> None:
        if self._closing:
            raise Abandoned("the server is stopping.", fix="Ask again.")
        if len(self._waiting) >= self.max_waiting:
            raise QueueFull(
                f"{self.max_waiting} requests wait already, and the queue holds no more.",
                fix="Ask again in a moment.",
            )

    def _check_room(self, num_prompt: int, num_new: int) -> None:
        if num_prompt + num_new > self._limit:
            raise PromptTooLong(
                f"{num_prompt} tokens of prompt and {num_new} of answer exceed the {self._limit} of "
                f"{self.base.ref.name}",
                fix="Give fewer facts or a shorter history.",
            )
