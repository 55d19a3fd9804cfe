"""vLLM as the engine: the same requests and answers as of `BatchEngine`, computed by a server of its own.

Prompts go there as tokens, so that they are the ones that training saw, whatever chat template vLLM has. An adapter
goes by its version and the start of its digest: such a name never stands for other weights, and vLLM may keep it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nabi.errors import ModelError, TransientError
from nabi.integrations.vllm import UnknownAdapter, VllmClient
from nabi.serving.batching import Abandoned, Answer, Ended, PromptTooLong, QueueFull
from nabi.serving.decoding import Decoding
from nabi.serving.residents import Adapter, Residents
from nabi.serving.utterance import Utterance
from nabi.training.adapter import AdapterManifest, WeightsFile
from nabi.training.base_model import BaseRef, load_tokenizer
from nabi.training.template import end_ids
from nabi.training.tokenise import encode_prompt


@dataclass(slots=True)
class _Asked:
    """A request on its way."""

    prompt: list[int]
    adapter: Adapter | None
    decoding: Decoding
    told: Callable[[str], None] | None
    came_at: float
    answer: Future[Answer] = field(default_factory=Future)
    abandoned: bool = False

    def abandon(self) -> None:
        self.abandoned = True


class _RemoteSlots:
    """vLLM's adapters as slots: what is written into one replaces what was there."""

    def __init__(self, client: VllmClient, num_slots: int) -> None:
        self.num_slots = num_slots
        self._client = client
        self._held: dict[int, tuple[str, Path]] = {}

    def room(self, _weights: WeightsFile) -> None:
        """The other server reads the file itself."""

    def write(self, slot: int, manifest: AdapterManifest, _tensors: Mapping[str, Any], *, where: Path) -> None:
        if manifest.dora:
            raise ModelError(
                "vLLM has no DoRA adapters", where=str(where), fix="Export the merged model, and serve that."
            )
        if slot in self._held:
            self._client.unload(self._held[slot][0])
            del self._held[slot]
        name = f"{where.name}--{manifest.weights_sha256[:12]}"
        self._client.load(name, str(where.resolve()))
        self._held[slot] = (name, where.resolve())

    def name(self, slot: int) -> str:
        return self._held[slot][0]

    def load_again(self, slot: int) -> None:
        name, folder = self._held[slot]
        self._client.load(name, str(folder))


class VllmEngine:
    """Answers over the base that a vLLM server holds.

    Args:
        ref: the base here; vLLM must have been started with the same, which it cannot prove.
        client: the server.
        num_slots: adapters that it is asked to hold at once; no more than its `--max-cpu-loras`.
        max_rows: requests sent to it at once.
        max_waiting: requests that wait here besides; one more is refused.

    Raises:
        TransientError: the server is away.
    """

    def __init__(
        self, ref: BaseRef, client: VllmClient, *, num_slots: int = 8, max_rows: int = 32, max_waiting: int = 256
    ) -> None:
        self.ref = ref
        self._client = client
        self._base_name, self._limit = client.base()
        self._tokenizer = load_tokenizer(ref)
        self._ends = list(end_ids(self._tokenizer))
        self._slots = _RemoteSlots(client, num_slots)
        self.residents = Residents(self._slots, ref)
        self._max_rows, self._max_waiting = max_rows, max_waiting
        self._changed = threading.Condition()
        self._underway = 0
        self._closing = False
        self._pool = ThreadPoolExecutor(max_rows, thread_name_prefix="nabi-vllm")

    @property
    def num_waiting(self) -> int:
        return max(0, self._underway - self._max_rows)

    @property
    def num_speaking(self) -> int:
        return min(self._underway, self._max_rows)

    def submit(
        self,
        prompt: Sequence[dict[str, str]],
        adapter: Adapter | None,
        decoding: Decoding,
        *,
        told: Callable[[str], None] | None = None,
    ) -> _Asked:
        """Send a request; as `BatchEngine.submit`, but an adapter that cannot be loaded is told by the answer."""
        ids = encode_prompt(self._tokenizer, list(prompt))
        if len(ids) + decoding.max_new_tokens > self._limit:
            raise PromptTooLong(
                f"{len(ids)} tokens of prompt and {decoding.max_new_tokens} of answer exceed the {self._limit} of vLLM",
                fix="Give fewer facts or a shorter history.",
            )
        asked = _Asked(ids, adapter, decoding, told, time.monotonic())
        with self._changed:
            if self._closing:
                raise Abandoned("the server is stopping.", fix="Ask again.")
            if self._underway >= self._max_rows + self._max_waiting:
                raise QueueFull(
                    f"{self._max_waiting} requests wait already, and the queue holds no more.",
                    fix="Ask again in a moment.",
                )
            self._underway += 1
        self._pool.submit(self._answer, asked)
        return asked

    def preload(self, adapter: Adapter) -> None:
        """Have vLLM load an adapter before anybody asks for it.

        Raises:
            ModelError: it cannot be loaded.
            TransientError: the server is away.
        """
        with self._changed:
            # With every slot speaking it is loaded with its first request instead.
            if self.residents.begin(adapter) is not None:
                self.residents.end(adapter)

    def close(self) -> None:
        """Answers that are under way are told that they end here."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._pool.shutdown()
        self._client.close()

    def _answer(self, asked: _Asked) -> None:
        try:
            slot = self._begin(asked)
            try:
                answer = self._speak(asked, slot)
            finally:
                with self._changed:
                    self.residents.end(asked.adapter)
                    self._changed.notify_all()
        except Exception as error:
            # Whoever asked learns of it, whatever it is; this thread goes on with the next request.
            asked.answer.set_exception(error)
        else:
            asked.answer.set_result(answer)
        finally:
            with self._changed:
                self._underway -= 1

    def _begin(self, asked: _Asked) -> int:
        """The slot of the request's adapter, when there is one that is silent."""
        with self._changed:
            while True:
                self._check(asked)
                slot = self.residents.begin(asked.adapter)
                if slot is not None:
                    return slot
                self._changed.wait(0.5)

    def _check(self, asked: _Asked) -> None:
        if self._closing:
            raise Abandoned("the server is stopping.", fix="Ask again.")
        if asked.abandoned:
            raise Abandoned("nobody waits for this answer.")

    def _speak(self, asked: _Asked, slot: int) -> Answer:
        begun = time.monotonic()
        model = self._base_name if asked.adapter is None else self._slots.name(slot)
        try:
            return self._stream(asked, model, begun)
        except UnknownAdapter:
            if asked.adapter is None:
                raise
            self._slots.load_again(slot)
            return self._stream(asked, model, begun)

    def _stream(self, asked: _Asked, model: str, begun: float) -> Answer:
        texts: list[str] = []
        utterance = Utterance(lambda _ids: "".join(texts))
        first_at, ended, usage = 0.0, None, None
        for event in self._client.complete(self._body(asked, model)):
            self._check(asked)
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                first_at = first_at or time.monotonic()
                ended = choice.get("finish_reason") or ended
                texts.append(choice["text"])
                if asked.told and (fresh := utterance.news()):
                    asked.told(fresh)
        if usage is None or ended not in {"stop", "length"}:
            raise TransientError(f"vLLM ended an answer in its middle ({ended}).", fix="Ask again.")
        if asked.told and (rest := utterance.news(ended=True)):
            asked.told(rest)
        how: Ended = "stop" if ended == "stop" else "length"
        return Answer(
            text=utterance.text,
            num_prompt_tokens=usage["prompt_tokens"],
            num_tokens=usage["completion_tokens"],
            ended=how,
            seconds_waiting=begun - asked.came_at,
            seconds_to_first=first_at - asked.came_at,
            seconds=time.monotonic() - asked.came_at,
        )

    def _body(self, asked: _Asked, model: str) -> dict[str, Any]:
        decoding = asked.decoding
        seed = {} if decoding.seed is None else {"seed": decoding.seed % 2**63}
        return seed | {
            "model": model,
            "prompt": asked.prompt,
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "frequency_penalty": decoding.frequency_penalty,
            "presence_penalty": decoding.presence_penalty,
            "stop": list(decoding.stops),
            "stop_token_ids": self._ends,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
