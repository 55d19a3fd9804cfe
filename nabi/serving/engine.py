"""One frozen base in this process, adapters over it by name: answers, and how likely given answers are.

Greedy and deterministic: the same prompts in the same call give the same answers, since nothing that joins a batch
depends on the clock. Rows, slots and checks are those that the server's running batch is made of.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nabi.errors import ModelError
from nabi.serving.blocks import BARE
from nabi.serving.reading import AdapterReader
from nabi.serving.slots import AdapterSlots
from nabi.training.adapter import AdapterManifest
from nabi.training.base_model import LoadedBase, context_length
from nabi.training.template import end_ids
from nabi.training.tokenise import IGNORED, encode_answer, encode_prompt

if TYPE_CHECKING:
    # torch: a process that only reads what was measured should not wait for it.
    from nabi.serving.kv_rows import KvRows, Prefix

logger = logging.getLogger(__name__)

Prompt = list[dict[str, str]]
"""Messages of `chat_messages`, ending with what the user said."""

_REFILL_SHARE = 0.25
"""New prompts are read when this share of the rows is free: many at once cost little more than one."""


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer. `num_tokens` counts the end token; `finished` is False when `max_new_tokens` cut it short;
    `seconds` is how long it was under way, from the reading of its prompt to its end, beside the others."""

    text: str
    num_tokens: int
    finished: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class AnswerLikelihood:
    """`logprob`: sum of natural log probabilities over the answer's tokens, its end token included."""

    logprob: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class _Resident:
    """An adapter in memory: its slot, what it was checked against, and where it came from."""

    slot: int
    manifest: AdapterManifest
    folder: Path


@dataclass(slots=True)
class _Row:
    """A prompt on its way through the batch: what is said behind it, and what was to be judged there."""

    prompt: list[int]
    reference: list[int] = field(default_factory=list)
    likelihood: AnswerLikelihood | None = None
    said: list[int] = field(default_factory=list)
    finished: bool = False
    begun_at: float = 0.0
    seconds: float = 0.0


class Engine:
    """Adapters over one base. Calls from several threads wait for each other."""

    def __init__(self, base: LoadedBase) -> None:
        self.base = base
        self._slots = AdapterSlots(base.model, 1)
        self._reader = AdapterReader(base.ref, self._slots)
        self._held: dict[str, _Resident] = {}
        self._free = [1]
        self._rows: tuple[int, KvRows] | None = None
        self._lock = threading.RLock()
        self._end_ids = frozenset(end_ids(base.tokenizer))

    @property
    def adapters(self) -> dict[str, str]:
        """Names of the loaded adapters with the sha256 of their weights."""
        return {name: held.manifest.weights_sha256 for name, held in self._held.items()}

    def load(self, name: str, folder: Path) -> None:
        """Verify an adapter and make it answer under `name`; loading the same one again does nothing.

        Raises:
            ModelError: the adapter fails `verify_adapter` or does not fit the base, or the name is taken by another.
        """
        with self._lock:
            manifest, tensors = self._reader.read(folder)
            if name in self._held:
                self._refuse_other(name, manifest)
                return
            if not self._free:
                self._slots.add_slots(1)
                self._free.append(self._slots.num_slots)
            self._slots.write(self._free[-1], manifest, tensors, where=folder)
            self._held[name] = _Resident(self._free.pop(), manifest, folder)

    def swap_in(self, name: str) -> None:
        """Read a loaded adapter once more, verified as ever, into its slot: what an asker waits for whose adapter had
        made room for others."""
        with self._lock:
            slot = self._slot_of(name)
            manifest, tensors = self._reader.read(self._held[name].folder)
            self._refuse_other(name, manifest)
            self._slots.write(slot, manifest, tensors, where=self._held[name].folder)

    def unload(self, name: str) -> None:
        """Forget an adapter; the next one takes its slot."""
        with self._lock:
            self._free.append(self._slot_of(name))
            del self._held[name]

    def generate(
        self,
        prompts: Sequence[Prompt],
        adapter: str | None,
        *,
        max_new_tokens: int = 96,
        batch_size: int = 32,
    ) -> list[Generation]:
        """Answer each prompt greedily, in the order given.

        Args:
            prompts: messages that end with the user's turn.
            adapter: a loaded name; None for the bare base.
            max_new_tokens: where an answer is cut.
            batch_size: prompts computed together; similar lengths are read together.

        Raises:
            ModelError: the adapter is not loaded, or a prompt leaves no room for an answer in the base's context.
        """
        rows = [_Row(encode_prompt(self.base.tokenizer, prompt)) for prompt in prompts]
        self._run(rows, adapter, max_new_tokens, batch_size)
        return [self._generation(row) for row in rows]

    def answer_logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[str], adapter: str | None, *, batch_size: int = 32
    ) -> list[AnswerLikelihood]:
        """How likely the model finds each given answer after its prompt, in the order given.

        Raises:
            ModelError: the adapter is not loaded, or a dialogue is longer than the base's context.
        """
        rows = self._referring(prompts, answers)
        self._run(rows, adapter, 0, batch_size)
        return [_likelihood(row) for row in rows]

    def answer_and_judge(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        adapter: str | None,
        *,
        max_new_tokens: int = 96,
        batch_size: int = 32,
    ) -> tuple[list[Generation], list[AnswerLikelihood]]:
        """`generate` and `answer_logprobs` of the same prompts, each of which is read once for both."""
        rows = self._referring(prompts, answers)
        if [row.prompt for row in rows] != [encode_prompt(self.base.tokenizer, prompt) for prompt in prompts]:
            # This template opens an answer that is to be made otherwise than one that is there already.
            generations = self.generate(prompts, adapter, max_new_tokens=max_new_tokens, batch_size=batch_size)
            return generations, self.answer_logprobs(prompts, answers, adapter, batch_size=batch_size)
        self._run(rows, adapter, max_new_tokens, batch_size)
        return [self._generation(row) for row in rows], [_likelihood(row) for row in rows]

    def _referring(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[_Row]:
        """Rows that end where the given answer begins, with its tokens."""
        rows = []
        for prompt, answer in zip(prompts, answers, strict=True):
            dialogue = [*prompt, {"role": "assistant", "content": answer}]
            ids, labels = encode_answer(self.base.tokenizer, dialogue, last_only=True)
            start = next(place for place, label in enumerate(labels) if label != IGNORED)
            rows.append(_Row(ids[:start], ids[start:]))
        return rows

    def _run(self, rows: Sequence[_Row], adapter: str | None, num_new: int, batch_size: int) -> None:
        """Takes every row through the batch: its prompt is read, its reference judged, up to `num_new` tokens said."""
        import torch

        self._check_room(rows, num_new)
        with self._speaking(adapter), torch.inference_mode():
            if not rows:
                return
            held = self._rows_for(min(batch_size, len(rows)))
            # The longest first: what is too big fails at once.
            waiting = sorted(rows, key=lambda row: -len(row.prompt))
            prefix = _read_shared(held, waiting)
            speaking: list[_Row] = []
            while waiting or speaking:
                room = batch_size - len(speaking)
                if waiting and (not speaking or room >= _REFILL_SHARE * batch_size):
                    newcomers, waiting = waiting[:room], waiting[room:]
                    logits = _read(held, newcomers, prefix)
                    speaking += newcomers
                    self._hear(held, speaking, newcomers, logits, num_new)
                else:
                    logits = held.step([row.said[-1] for row in speaking])
                    self._hear(held, speaking, list(speaking), logits, num_new)

    def _hear(self, held: KvRows, speaking: list[_Row], heard: Sequence[_Row], logits: Any, num_new: int) -> None:
        """One more token for each of these; who has ended, leaves."""
        now = time.monotonic()
        for row, token in zip(heard, logits.argmax(-1).tolist(), strict=True):
            if num_new:
                row.said.append(token)
                row.finished = token in self._end_ids
            if row.finished or len(row.said) >= num_new:
                row.seconds = now - row.begun_at
                place = next(place for place, other in enumerate(speaking) if other is row)
                held.drop(place)
                last = speaking.pop()
                if last is not row:
                    speaking[place] = last

    def _rows_for(self, num: int) -> KvRows:
        """Room for so many conversations, empty; kept for the next call."""
        from nabi.serving.kv_rows import KvRows

        if self._rows is None or self._rows[0] < num:
            self._rows = (num, KvRows(self.base.model, num, context_length(self.base.model)))
        held = self._rows[1]
        held.clear()
        return held

    def _generation(self, row: _Row) -> Generation:
        spoken = row.said[:-1] if row.finished else row.said
        text = self.base.tokenizer.decode(spoken, skip_special_tokens=True).strip()
        return Generation(text=text, num_tokens=len(row.said), finished=row.finished, seconds=row.seconds)

    @contextlib.contextmanager
    def _speaking(self, adapter: str | None) -> Iterator[None]:
        """Hold the model, with this adapter's slot for every row; None is the bare base."""
        with self._lock, self._slots.speaking([BARE if adapter is None else self._slot_of(adapter)]):
            yield

    def _refuse_other(self, name: str, manifest: AdapterManifest) -> None:
        if self._held[name].manifest.weights_sha256 != manifest.weights_sha256:
            raise ModelError(
                f"another adapter is loaded as {name!r}",
                fix="A served name is immutable: give each adapter version its own name.",
            )

    def _slot_of(self, name: str) -> int:
        if name not in self._held:
            raise ModelError(f"no adapter {name!r} is loaded", fix=f"Load it first; loaded are {sorted(self._held)}.")
        return self._held[name].slot

    def _check_room(self, rows: Sequence[_Row], num_new: int) -> None:
        limit = context_length(self.base.model)
        for row in rows:
            behind = max(len(row.reference), num_new)
            if len(row.prompt) + behind > limit:
                raise ModelError(
                    f"{len(row.prompt)} tokens of prompt and {behind} of answer exceed the {limit} of "
                    f"{self.base.ref.name}",
                    fix="Give fewer facts or a shorter history.",
                )


def _read_shared(held: KvRows, rows: Sequence[_Row]) -> Prefix | None:
    """What all prompts begin with, their persona's own prompt, read once for all of them."""
    first, last = min(row.prompt for row in rows), max(row.prompt for row in rows)
    # Every prompt keeps a token of its own, behind which the answer begins.
    most = min(len(row.prompt) for row in rows) - 1
    shared = list(takewhile(lambda pair: pair[0] == pair[1], zip(first[:most], last, strict=False)))
    if len(rows) == 1 or not shared:
        return None
    return held.prefix(first[: len(shared)])


def _read(held: KvRows, newcomers: Sequence[_Row], prefix: Prefix | None) -> Any:
    """Takes prompts into new rows and judges their references; the logits behind each prompt's end."""
    started = time.monotonic()
    first_row = len(held.lengths)
    skipped = prefix.length if prefix else 0
    logits = held.read([row.prompt[skipped:] for row in newcomers], prefix)
    for row in newcomers:
        row.begun_at = started
    for group in _judged_together([len(row.reference) for row in newcomers], logits.shape[-1]):
        rows = slice(first_row + group.start, first_row + group.stop)
        _judge(held, rows, newcomers[group], logits[group])
    return logits


def _judged_together(lengths: Sequence[int], num_words: int) -> Iterator[slice]:
    """Runs of rows with a reference whose scores over the vocabulary fit the memory that a loss may take."""
    from nabi.training.loss import MAX_LOGITS

    start = total = 0
    for place, length in enumerate(lengths):
        if total and total + length > MAX_LOGITS // num_words:
            yield slice(start, place)
            start, total = place, 0
        total += length
    if total:
        yield slice(start, len(lengths))


def _judge(held: KvRows, rows: slice, judged: Sequence[_Row], logits: Any) -> None:
    """How likely each reference is: its first token by the logits behind the prompt, each other one by those behind
    the token before it."""
    import torch
    from torch.nn.functional import cross_entropy

    device = logits.device
    losses = cross_entropy(logits, torch.tensor([row.reference[0] for row in judged], device=device), reduction="none")
    lengths = [len(row.reference) - 1 for row in judged]
    behind = torch.zeros(0)
    if any(lengths):
        wanted = [token for row in judged for token in row.reference[1:]]
        scores = held.peek(rows, [row.reference[:-1] for row in judged])
        behind = cross_entropy(scores, torch.tensor(wanted, device=device), reduction="none")
    for row, first, rest in zip(judged, losses.tolist(), torch.split(behind.double().cpu(), lengths), strict=True):
        row.likelihood = AnswerLikelihood(-first - float(rest.sum()), len(row.reference))


def _likelihood(row: _Row) -> AnswerLikelihood:
    if row.likelihood is None:
        raise ModelError("a row left the batch before its reference was judged")
    return row.likelihood
