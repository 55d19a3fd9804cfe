"""One frozen base in this process, adapters over it by name: answers, and how likely given answers are.

Greedy and deterministic: the same prompts in the same call give the same answers.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nabi.errors import ModelError
from nabi.training.adapter import AdapterManifest, load_verified
from nabi.training.base_model import LoadedBase, context_length
from nabi.training.template import end_ids
from nabi.training.tokenise import encode_answer, encode_prompt

logger = logging.getLogger(__name__)

Prompt = list[dict[str, str]]
"""Messages of `chat_messages`, ending with what the user said."""


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer. `num_tokens` counts the end token; `finished` is False when `max_new_tokens` cut it short;
    `seconds` is how long its batch took, which is how long the asker waited."""

    text: str
    num_tokens: int
    finished: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class AnswerLikelihood:
    """`logprob`: sum of natural log probabilities over the answer's tokens, its end token included."""

    logprob: float
    num_tokens: int


class Engine:
    """Adapters over one base. Calls from several threads wait for each other."""

    def __init__(self, base: LoadedBase) -> None:
        self.base = base
        self._model: Any = base.model
        self._slots: dict[str, tuple[str, AdapterManifest]] = {}
        self._num_slots = 0
        self._wrapped = False
        self._lock = threading.RLock()
        self._end_ids = end_ids(base.tokenizer)

    @property
    def adapters(self) -> dict[str, str]:
        """Names of the loaded adapters with the sha256 of their weights."""
        return {name: manifest.weights_sha256 for name, (_, manifest) in self._slots.items()}

    def load(self, name: str, folder: Path) -> None:
        """Verify an adapter and make it answer under `name`; loading the same one again does nothing.

        Raises:
            ModelError: the adapter fails `verify_adapter` or does not fit the base, or the name is taken by another.
        """
        with self._lock:
            manifest, tensors = load_verified(folder, self.base.ref)
            if name in self._slots:
                self._refuse_other(name, manifest)
                return
            slot = f"slot{self._num_slots}"
            self._num_slots += 1
            self._insert(slot, folder, manifest, tensors)
            self._slots[name] = (slot, manifest)

    def unload(self, name: str) -> None:
        """Forget an adapter and free its memory."""
        with self._lock:
            slot, _ = self._slots.pop(self._known(name))
            self._model.delete_adapter(slot)

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
            batch_size: prompts computed together; similar lengths share a batch.

        Raises:
            ModelError: the adapter is not loaded, or a prompt leaves no room for an answer in the base's context.
        """
        encoded = [encode_prompt(self.base.tokenizer, prompt) for prompt in prompts]
        self._check_room(encoded, max_new_tokens)
        answers: dict[int, Generation] = {}
        with self._speaking(adapter):
            for places in _batches([len(ids) for ids in encoded], batch_size):
                batch = self._generate_batch([encoded[place] for place in places], max_new_tokens)
                answers |= dict(zip(places, batch, strict=True))
        return [answers[place] for place in range(len(prompts))]

    def answer_logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[str], adapter: str | None, *, batch_size: int = 32
    ) -> list[AnswerLikelihood]:
        """How likely the model finds each given answer after its prompt, in the order given.

        Raises:
            ModelError: the adapter is not loaded, or a dialogue is longer than the base's context.
        """
        tokenizer = self.base.tokenizer
        rows = [
            encode_answer(tokenizer, [*prompt, {"role": "assistant", "content": answer}], last_only=True)
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        self._check_room([ids for ids, _ in rows], 0)
        found: dict[int, AnswerLikelihood] = {}
        with self._speaking(adapter):
            for places in _batches([len(ids) for ids, _ in rows], batch_size):
                batch = self._score_batch([rows[place] for place in places])
                found |= dict(zip(places, batch, strict=True))
        return [found[place] for place in range(len(rows))]

    def _generate_batch(self, encoded: Sequence[list[int]], max_new_tokens: int) -> list[Generation]:
        import torch
        from transformers import GenerationConfig

        tokenizer = self.base.tokenizer
        started = time.monotonic()
        padded = tokenizer.pad({"input_ids": list(encoded)}, padding_side="left", return_tensors="pt")
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=list(self._end_ids),
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.inference_mode():
            output = self._model.generate(**padded.to(self.base.device), generation_config=config)
        seconds = time.monotonic() - started
        width = padded["input_ids"].shape[1]
        return [self._generation(row, seconds) for row in output[:, width:].tolist()]

    def _generation(self, ids: list[int], seconds: float) -> Generation:
        """What one row says; behind the first end token stands only padding."""
        end = next((place for place, token in enumerate(ids) if token in self._end_ids), None)
        spoken = ids if end is None else ids[:end]
        return Generation(
            text=self.base.tokenizer.decode(spoken, skip_special_tokens=True).strip(),
            num_tokens=len(spoken) + (end is not None),
            finished=end is not None,
            seconds=seconds,
        )

    def _score_batch(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[AnswerLikelihood]:
        import torch

        from nabi.training.loss import collate, token_losses

        features = [{"input_ids": ids, "labels": labels} for ids, labels in rows]
        batch = collate(features, self.base.tokenizer.pad_token_id)
        counts = (batch["labels"][:, 1:] >= 0).sum(dim=1).tolist()
        with torch.inference_mode():
            losses = token_losses(self._model, {key: value.to(self.base.device) for key, value in batch.items()})
        parts = torch.split(losses.double().cpu(), counts)
        return [AnswerLikelihood(-float(part.sum()), count) for part, count in zip(parts, counts, strict=True)]

    @contextlib.contextmanager
    def _speaking(self, adapter: str | None) -> Iterator[None]:
        """Hold the model with this adapter switched on; None switches all of them off."""
        with self._lock:
            if adapter is not None:
                slot, _ = self._slots[self._known(adapter)]
                self._model.set_adapter(slot, inference_mode=True)
                yield
            elif self._slots:
                with self._model.disable_adapter():
                    yield
            else:
                yield

    def _insert(self, slot: str, folder: Path, manifest: AdapterManifest, tensors: dict[str, Any]) -> None:
        """Put checked weights into the model. The configuration comes from the manifest, so nothing else in the
        folder can switch on a feature of PEFT's that was not checked."""
        from peft import LoraConfig, PeftModel, set_peft_model_state_dict

        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=manifest.r,
            lora_alpha=manifest.alpha,
            use_rslora=manifest.rslora,
            use_dora=manifest.dora,
            target_modules=list(manifest.target_modules),
            inference_mode=True,
        )
        try:
            if self._wrapped:
                self._model.add_adapter(slot, config, low_cpu_mem_usage=True)
            else:
                self._model = PeftModel(self.base.model, config, adapter_name=slot, low_cpu_mem_usage=True)
                self._wrapped = True
            result = set_peft_model_state_dict(self._model, tensors, adapter_name=slot, low_cpu_mem_usage=True)
        except (ValueError, RuntimeError) as error:
            self._discard(slot)
            raise self._misfit(folder, error) from error
        missing = [key for key in result.missing_keys if f".{slot}." in key]
        if missing or result.unexpected_keys:
            self._discard(slot)
            raise self._misfit(folder, f"{len(missing)} weights missing, {len(result.unexpected_keys)} unknown")
        self._model.eval()

    def _discard(self, slot: str) -> None:
        if self._wrapped and slot in self._model.peft_config:
            self._model.delete_adapter(slot)

    def _misfit(self, folder: Path, reason: object) -> ModelError:
        return ModelError(
            f"the adapter does not fit {self.base.ref.name} ({reason})",
            where=str(folder),
            fix="Use the base it was made for, or train it again on this one.",
        )

    def _refuse_other(self, name: str, manifest: AdapterManifest) -> None:
        if self._slots[name][1].weights_sha256 != manifest.weights_sha256:
            raise ModelError(
                f"another adapter is loaded as {name!r}",
                fix="A served name is immutable: give each adapter version its own name.",
            )

    def _known(self, name: str) -> str:
        if name not in self._slots:
            raise ModelError(f"no adapter {name!r} is loaded", fix=f"Load it first; loaded are {sorted(self._slots)}.")
        return name

    def _check_room(self, encoded: Sequence[list[int]], num_new: int) -> None:
        limit = context_length(self.base.model)
        longest = max((len(ids) for ids in encoded), default=0)
        if longest + num_new > limit:
            raise ModelError(
                f"{longest} tokens of prompt and {num_new} of answer exceed the {limit} of {self.base.ref.name}",
                fix="Give fewer facts or a shorter history.",
            )


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Places of the prompts, similar lengths together, the longest first: what is too big fails at once."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    for start in range(0, len(order), size):
        yield order[start : start + size]
