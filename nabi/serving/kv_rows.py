"""Keys and values of many conversations, one row each: rows come and go while the others go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from nabi.errors import ModelError

_FIRST_LENGTH = 256


class KvRows:
    """Room for `num_rows` conversations; the rows in use are always the first ones, so that no step copies them.

    Args:
        model: whose layers' keys and values are kept.
        num_rows: conversations at once.
        limit: the base's context. Rows begin shorter and grow by doubling as long as a conversation needs it.

    Raises:
        ModelError: the base has layers that forget what lies further back.
    """

    def __init__(self, model: Any, num_rows: int, limit: int) -> None:
        if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
            raise ModelError(
                "the base looks back through a sliding window, which rows of keys and values do not know",
                fix="Choose a base with full attention in every layer, such as Qwen3.",
            )
        self._model = model
        self._limit = limit
        self._place = _Place()
        self._layers = [
            _RowLayer(self._place, num_rows, min(_FIRST_LENGTH, limit)) for _ in range(model.config.num_hidden_layers)
        ]
        self._cache = Cache(layers=self._layers)
        self._lengths: list[int] = []

    @property
    def lengths(self) -> list[int]:
        """Tokens read so far, row by row."""
        return list(self._lengths)

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Takes prompts in as new rows behind those in use; the logits behind each prompt's end: (prompts, vocabulary).

        The rows' slots (`AdapterSlots.speaking`) must be chosen for these prompts alone.
        """
        lengths = [len(prompt) for prompt in prompts]
        device = self._model.device
        # Padding stands behind each prompt: no token looks ahead, and the answer is written over it.
        ids = torch.zeros((len(prompts), max(lengths)), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        self._make_room(max(lengths))
        self._place.prefill(len(self._lengths), len(prompts))
        ends = torch.arange(ids.shape[1]) == torch.tensor(lengths)[:, None] - 1
        output = self._model(
            input_ids=ids.to(device), past_key_values=self._cache, use_cache=True, logits_to_keep=ends.to(device)
        )
        self._lengths += lengths
        logits: Tensor = output.logits.float()
        return logits

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Reads one more token of every row; the logits behind it: (rows, vocabulary)."""
        device = self._model.device
        positions = torch.tensor(self._lengths, device=device)
        longest = max(self._lengths) + 1
        self._make_room(longest)
        self._place.decode(positions, longest)
        mask = torch.arange(longest, device=device) <= positions[:, None]
        output = self._model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=mask[:, None, None, :],
            position_ids=positions[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._lengths = [length + 1 for length in self._lengths]
        logits: Tensor = output.logits[:, 0].float()
        return logits

    def drop(self, row: int) -> None:
        """Lets a row go; the last one takes its place."""
        last = len(self._lengths) - 1
        if row != last:
            for layer in self._layers:
                layer.move(last, row, self._lengths[last])
            self._lengths[row] = self._lengths[last]
        self._lengths.pop()

    def clear(self) -> None:
        """Lets all rows go."""
        self._lengths = []

    def _make_room(self, length: int) -> None:
        held = self._layers[0].length
        if length > held:
            wanted = held
            while wanted < length:
                wanted *= 2
            for layer in self._layers:
                layer.lengthen(min(wanted, self._limit))


class _Place:
    """Where the present pass reads and writes: the same for all layers."""

    def prefill(self, start: int, num: int) -> None:
        self.positions: Tensor | None = None
        self.start, self.num = start, num

    def decode(self, positions: Tensor, longest: int) -> None:
        self.positions = positions
        self.rows = torch.arange(len(positions), device=positions.device)
        self.longest = longest


class _RowLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers comes without types
    """One layer's keys and values: (rows, heads, length, width) each."""

    is_sliding = False

    def __init__(self, place: _Place, num_rows: int, length: int) -> None:
        super().__init__()
        self._place = place
        self._num_rows = num_rows
        self.length = length

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys = self._empty(key_states)
        self.values = self._empty(value_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_options: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = self._place
        if place.positions is None:
            rows = slice(place.start, place.start + place.num)
            self.keys[rows, :, : key_states.shape[2]] = key_states
            self.values[rows, :, : value_states.shape[2]] = value_states
            return key_states, value_states
        self.keys[place.rows, :, place.positions] = key_states[:, :, 0]
        self.values[place.rows, :, place.positions] = value_states[:, :, 0]
        num = len(place.rows)
        return self.keys[:num, :, : place.longest], self.values[:num, :, : place.longest]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0  # asked only while prompts are read; a step brings its own mask

    def get_seq_length(self) -> int:
        return 0  # new rows begin at their first position

    def get_max_length(self) -> int:
        return self.length

    def move(self, source: int, target: int, length: int) -> None:
        self.keys[target, :, :length] = self.keys[source, :, :length]
        self.values[target, :, :length] = self.values[source, :, :length]

    def lengthen(self, length: int) -> None:
        self.length = length
        if self.is_initialized:
            keys, values = self.keys, self.values
            self.lazy_initialization(keys, values)
            self.keys[:, :, : keys.shape[2]] = keys
            self.values[:, :, : values.shape[2]] = values

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_zeros((self._num_rows, like.shape[1], self.length, like.shape[3]))
