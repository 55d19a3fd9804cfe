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

    def read(self, prompts: Sequence[Sequence[int]], after: Prefix | None = None) -> Tensor:
        """Takes prompts in as new rows behind those in use; the logits behind each prompt's end: (prompts, vocabulary).

        The rows' slots (`AdapterSlots.speaking`) must be chosen for these prompts alone.

        Args:
            prompts: token ids.
            after: what all of them begin with and leave out here, read before through the same slot.
        """
        lengths = [len(prompt) for prompt in prompts]
        skipped = after.length if after else 0
        device = self._model.device
        # Padding stands behind each prompt: no token looks ahead, and the answer is written over it.
        ids = _padded(prompts)
        self._make_room(skipped + max(lengths))
        rows = slice(len(self._lengths), len(self._lengths) + len(prompts))
        options: dict[str, Any] = {}
        if after is not None:
            after.copy_to(self._layers, rows)
            places = torch.arange(skipped, skipped + ids.shape[1])
            seen = torch.arange(skipped + ids.shape[1]) <= places[:, None]
            options = {"attention_mask": seen[None, None].to(device), "position_ids": places[None].to(device)}
        self._place.prompts(rows, slice(skipped, skipped + ids.shape[1]))
        ends = torch.arange(ids.shape[1]) == torch.tensor(lengths)[:, None] - 1
        output = self._model(
            input_ids=ids.to(device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=ends.to(device),
            **options,
        )
        self._lengths += [skipped + length for length in lengths]
        logits: Tensor = output.logits.float()
        return logits

    def prefix(self, ids: Sequence[int]) -> Prefix:
        """Reads what many prompts begin with, once, through the slot that is chosen."""
        self.read([ids])
        row = len(self._lengths) - 1
        read = Prefix(len(ids), [layer.taken(row, len(ids)) for layer in self._layers])
        self._lengths.pop()
        return read

    def peek(self, rows: slice, tokens: Sequence[Sequence[int]]) -> Tensor:
        """What the model would say next, were these tokens read behind each of these rows: the logits behind every
        token, row by row: (number of tokens, vocabulary). The rows stay as they are.

        The rows' slots must be chosen for these rows alone.
        """
        device = self._model.device
        lengths = torch.tensor([len(behind) for behind in tokens])
        starts = torch.tensor(self._lengths[rows])
        ids = _padded(tokens)
        steps = torch.arange(ids.shape[1])
        real = (steps < lengths[:, None]).to(device)
        positions = (starts[:, None] + steps).to(device)
        longest = int((starts + lengths).max())
        self._make_room(longest)
        row, column = real.nonzero(as_tuple=True)
        self._place.tokens(rows, row + rows.start, positions[row, column], longest, real)
        seen = torch.arange(longest, device=device) <= positions[..., None]
        output = self._model(
            input_ids=ids.to(device),
            attention_mask=seen[:, None],
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=real,
        )
        logits: Tensor = output.logits.float()
        return logits

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Reads one more token of every row; the logits behind it: (rows, vocabulary)."""
        device = self._model.device
        positions = torch.tensor(self._lengths, device=device)
        longest = max(self._lengths) + 1
        self._make_room(longest)
        rows = torch.arange(len(positions), device=device)
        self._place.tokens(slice(0, len(positions)), rows, positions, longest)
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


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Token ids side by side, zeros behind the shorter ones: (rows, longest)."""
    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids


class Prefix:
    """Keys and values of what many prompts begin with, layer by layer."""

    def __init__(self, length: int, held: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.length = length
        self._held = held

    def copy_to(self, layers: Sequence[_RowLayer], rows: slice) -> None:
        for layer, (keys, values) in zip(layers, self._held, strict=True):
            layer.keys[rows, :, : self.length] = keys
            layer.values[rows, :, : self.length] = values


class _Place:
    """Where the present pass writes and what it reads: the same for all layers."""

    rows: slice
    longest: int
    columns: slice | None
    at_rows: Tensor
    at_positions: Tensor
    real: Tensor | None

    def prompts(self, rows: slice, columns: slice) -> None:
        """New rows, all of them in the same columns."""
        self.rows, self.columns = rows, columns
        self.longest = columns.stop

    def tokens(
        self, rows: slice, at_rows: Tensor, at_positions: Tensor, longest: int, real: Tensor | None = None
    ) -> None:
        """Tokens behind what the rows hold, each at its own place.

        Args:
            real: which of the computed tokens are kept, (rows, tokens); None for one token a row.
        """
        self.columns = None
        self.rows, self.at_rows, self.at_positions, self.longest, self.real = rows, at_rows, at_positions, longest, real


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
        if place.columns is not None:
            self.keys[place.rows, :, place.columns] = key_states
            self.values[place.rows, :, place.columns] = value_states
            if place.columns.start == 0:
                return key_states, value_states
        else:
            self.keys[place.at_rows, :, place.at_positions] = self._kept(key_states)
            self.values[place.at_rows, :, place.at_positions] = self._kept(value_states)
        return self.keys[place.rows, :, : place.longest], self.values[place.rows, :, : place.longest]

    def _kept(self, states: Tensor) -> Tensor:
        """(rows, heads, tokens, width) → (tokens that are kept, heads, width)."""
        real = self._place.real
        return states[:, :, 0] if real is None else states.transpose(1, 2)[real]

    def taken(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        """A copy of what a row begins with."""
        return self.keys[row, :, :length].clone(), self.values[row, :, :length].clone()

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0  # asked only for prompts without a prefix; every other pass brings its own mask

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
