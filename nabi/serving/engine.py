"""One frozen base in this process, adapters over it by name: answers, and how likely given answers are.

Greedy and deterministic: the same prompts in the same call give the same answers, since nothing that joins a batch
depends on the clock. Rows, slots and checks are those that the server's running batch is made of.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
    from nabi.serving.kv_rows import KvRows
    from nabi.serving.offline import Row

logger = logging.getLogger(__name__)

Prompt = list[dict[str, str]]
"""Messages of `chat_messages`, ending with what the user said."""

Asked = tuple[list[int], list[int]]
"""Tokens of a prompt, and of an answer to be judged behind it; none to judge none."""

ROWS = 64
"""Answers computed together: fewer use a step's products badly, and more wait for the memory of keys and values."""


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer. `num_tokens` counts the end token; `finished` is False when `max_new_tokens` cut it short;
    `seconds` is how long it was under way from the reading of its prompt on, beside the others: nobody waits so."""

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
        batch_size: int = ROWS,
    ) -> list[Generation]:
        """Answer each prompt greedily, in the order given.

        Args:
            prompts: messages that end with the user's turn.
            adapter: a loaded name; None for the bare base.
            max_new_tokens: where an answer is cut.
            batch_size: answers computed together.

        Raises:
            ModelError: the adapter is not loaded, or a prompt leaves no room for an answer in the base's context.
        """
        asked: list[Asked] = [(encode_prompt(self.base.tokenizer, prompt), []) for prompt in prompts]
        return [self._generation(row) for row in self._run(asked, adapter, max_new_tokens, batch_size)]

    def answer_logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[str], adapter: str | None, *, batch_size: int = ROWS
    ) -> list[AnswerLikelihood]:
        """How likely the model finds each given answer after its prompt, in the order given.

        Raises:
            ModelError: the adapter is not loaded, or a dialogue is longer than the base's context.
        """
        rows = self._run(self._referring(prompts, answers), adapter, 0, batch_size)
        return [AnswerLikelihood(row.logprob, len(row.tried)) for row in rows]

    def answer_and_judge(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        adapter: str | None,
        *,
        max_new_tokens: int = 96,
        batch_size: int = ROWS,
    ) -> tuple[list[Generation], list[AnswerLikelihood]]:
        """`generate` and `answer_logprobs` of the same prompts, each of which is read once for both.

        As long as the likeliest tokens are the given answer's, judging it has told them already: an adapter that
        answers as it is wanted to is asked for few tokens one by one.
        """
        asked = self._referring(prompts, answers)
        if [prompt for prompt, _ in asked] != [encode_prompt(self.base.tokenizer, prompt) for prompt in prompts]:
            # This template opens an answer that is to be made otherwise than one that is there already.
            generations = self.generate(prompts, adapter, max_new_tokens=max_new_tokens, batch_size=batch_size)
            return generations, self.answer_logprobs(prompts, answers, adapter, batch_size=batch_size)
        rows = self._run(asked, adapter, max_new_tokens, batch_size)
        likelihoods = [AnswerLikelihood(row.logprob, len(row.tried)) for row in rows]
        return [self._generation(row) for row in rows], likelihoods

    def _referring(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Asked]:
        """Tokens up to where each given answer begins, and its own."""
        asked = []
        for prompt, answer in zip(prompts, answers, strict=True):
            dialogue = [*prompt, {"role": "assistant", "content": answer}]
            ids, labels = encode_answer(self.base.tokenizer, dialogue, last_only=True)
            start = next(place for place, label in enumerate(labels) if label != IGNORED)
            asked.append((ids[:start], ids[start:]))
        return asked

    def _run(self, asked: Sequence[Asked], adapter: str | None, num_new: int, batch_size: int) -> list[Row]:
        """Takes prompts through the batch: each is read, its given answer judged, up to `num_new` tokens said."""
        import torch

        from nabi.serving.offline import OfflineBatch, Row

        self._check_room(asked, num_new)
        with self._lock, torch.inference_mode():
            slot = BARE if adapter is None else self._slot_of(adapter)
            rows = [Row(prompt, answer, adapter, slot) for prompt, answer in asked]
            if rows:
                size = min(batch_size, len(rows))
                OfflineBatch(self._rows_for(size), self._slots, size, num_new, self._end_ids).run(rows)
            return rows

    def _rows_for(self, num: int) -> KvRows:
        """Room for so many conversations, empty; kept for the next call."""
        from nabi.serving.kv_rows import KvRows

        if self._rows is None or self._rows[0] < num:
            self._rows = (num, KvRows(self.base.model, num, context_length(self.base.model)))
        held = self._rows[1]
        held.cut(0)
        return held

    def _generation(self, row: Row) -> Generation:
        spoken = row.said[:-1] if row.finished else row.said
        text = self.base.tokenizer.decode(spoken, skip_special_tokens=True).strip()
        return Generation(text=text, num_tokens=len(row.said), finished=row.finished, seconds=row.seconds)

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

    def _check_room(self, asked: Sequence[Asked], num_new: int) -> None:
        limit = context_length(self.base.model)
        for prompt, answer in asked:
            behind = max(len(answer), num_new)
            if len(prompt) + behind > limit:
                raise ModelError(
                    f"{len(prompt)} tokens of prompt and {behind} of answer exceed the {limit} of {self.base.ref.name}",
                    fix="Give fewer facts or a shorter history.",
                )
