"""Keys and values of many conversations, one row each: rows come and go while the others go on.

What is read lies end to end, as one long row without padding, and each stretch of it looks back into rows of its own. A
stretch may belong to several rows: what their prompts begin with is then computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nabi.errors import ModelError
from nabi.serving.forward import Pass, forward_of

_FIRST_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tokens to read that stand side by side.

    Attributes:
        rows: the new rows that they belong to, counted from the first new one.
        start: where in these rows the first token stands.
        scored: behind so many of the last tokens the logits are wanted. What stands behind the first of these is only
            tried: the rows do not keep it, unless `KvRows.accept` says so.
    """

    rows: range
    start: int
    tokens: Sequence[int]
    scored: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


@dataclass(frozen=True, slots=True)
class Prefix:
    """What prompts begin with: its tokens, and its keys and values, (layers, heads, length, width) each."""

    tokens: tuple[int, ...]
    keys: Tensor
    values: Tensor

    @property
    def num_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class KvRows:
    """Room for `num_rows` conversations; the rows in use are always the first ones, so that no step copies them.

    Args:
        model: whose layers' keys and values are kept.
        num_rows: conversations at once.
        limit: the base's context. Rows begin shorter and grow by doubling as long as a conversation needs it.

    Raises:
        ModelError: the base has layers that forget what lies further back, or attention of its own making.
    """

    def __init__(self, model: Any, num_rows: int, limit: int) -> None:
        if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
            raise ModelError(
                "the base looks back through a sliding window, which rows of keys and values do not know",
                fix="Choose a base with full attention in every layer, such as Qwen3.",
            )
        self._model = model
        self._forward = forward_of(model)
        self._num_rows = num_rows
        self._limit = limit
        self._length = min(_FIRST_LENGTH, limit)
        self._held: tuple[Tensor, Tensor] | None = None
        """Keys and values, (layers, rows, heads, length, width) each; there is none before the first pass."""
        self._lengths: list[int] = []

    @property
    def vocabulary(self) -> int:
        """Tokens that there are."""
        return int(self._model.config.vocab_size)

    @property
    def lengths(self) -> list[int]:
        """Tokens read so far, row by row."""
        return list(self._lengths)

    def read(self, stretches: Sequence[Stretch], known: Sequence[Prefix | None]) -> Tensor:
        """Takes prompts in as new rows behind those in use; the logits that the stretches want, in their order:
        (tokens, vocabulary).

        Args:
            stretches: all that the new rows hold behind what is known of them, earlier tokens before later ones.
            known: what each new row begins with, read before through the same slot.
        """
        first = len(self._lengths)
        self.make_room(max(stretch.end for stretch in stretches))
        for row, prefix in enumerate(known, start=first):
            if prefix is not None:
                self._put(prefix, row)
        ids = [token for stretch in stretches for token in stretch.tokens]
        places = torch.cat([torch.arange(stretch.start, stretch.end) for stretch in stretches])
        output = self._pass(_Reading(self, first, stretches), [ids], places[None], _scored(stretches))
        lengths = dict.fromkeys(range(len(known)), 0)
        for stretch in stretches:
            lengths |= dict.fromkeys(stretch.rows, stretch.end - max(0, stretch.scored - 1))
        self._lengths += lengths.values()
        return output[0]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Reads one more token of every row; the logits behind it: (rows, vocabulary)."""
        self.make_room(max(self._lengths) + 1)
        places = torch.tensor(self._lengths)[:, None]
        output = self._pass(_Stepping(self, self._lengths), [[token] for token in tokens], places, None)
        self._lengths = [length + 1 for length in self._lengths]
        return output[:, 0]

    def accept(self, row: int, num: int) -> None:
        """The row keeps so many of the tokens that were tried behind it."""
        self._lengths[row] += num

    def prefix(self, row: int, tokens: tuple[int, ...]) -> Prefix:
        """A copy of what a row begins with."""
        assert self._held is not None
        keys, values = (held[:, row, :, : len(tokens)].clone() for held in self._held)
        return Prefix(tokens, keys, values)

    def drop(self, row: int) -> None:
        """Lets a row go; the last one takes its place."""
        last = self._lengths.pop()
        if row != len(self._lengths):
            for held in self._held or ():
                held[:, row, :, :last] = held[:, len(self._lengths), :, :last]
            self._lengths[row] = last

    def cut(self, num: int) -> None:
        """Lets all rows go but the first `num`."""
        del self._lengths[num:]

    def make_room(self, length: int) -> None:
        """Rows are at least this long from now on."""
        before = self._length
        while self._length < length:
            self._length *= 2
        self._length = min(self._length, self._limit)
        if self._held is not None and self._length > before:
            held = self._held
            self._held = self._empty(*held)
            for old, new in zip(held, self._held, strict=True):
                new[:, :, :, :before] = old

    def layer(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, (rows, heads, length, width) each; those given tell their shape."""
        if self._held is None:
            self._held = self._empty(keys, values)
        return self._held[0][number], self._held[1][number]

    def _empty(self, *likes: Tensor) -> tuple[Tensor, Tensor]:
        layers = self._model.config.num_hidden_layers
        keys, values = (
            like.new_zeros((layers, self._num_rows, like.shape[-3], self._length, like.shape[-1])) for like in likes
        )
        return keys, values

    def _put(self, prefix: Prefix, row: int) -> None:
        if self._held is None:
            self._held = self._empty(prefix.keys, prefix.values)
        for held, part in zip(self._held, (prefix.keys, prefix.values), strict=True):
            held[:, row, :, : part.shape[2]] = part

    def _pass(self, work: Pass, ids: list[list[int]], places: Tensor, scored: Tensor | None) -> Tensor:
        device = self._model.device
        at = None if scored is None else scored.to(device)
        return self._forward(torch.tensor(ids, device=device), places.to(device), work, at).float()


class _Reading:
    """One long row of stretches."""

    def __init__(self, held: KvRows, first: int, stretches: Sequence[Stretch]) -> None:
        device, dtype = held._model.device, held._model.dtype
        self._held = held
        self._parts = []
        begin = 0
        for stretch in stretches:
            part = slice(begin, begin := begin + len(stretch.tokens))
            self._parts.append((part, slice(first + stretch.rows.start, first + stretch.rows.stop), stretch))
        longest = max((stretch.end for stretch in stretches if stretch.start), default=0)
        # As numbers: of yes and no every layer would make them again.
        self._hidden = torch.full((longest, longest), float("-inf"), device=device, dtype=dtype).triu(1)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        keys, values = self._held.layer(layer, key, value)
        outputs = []
        for part, rows, stretch in self._parts:
            own_keys, own_values, mask = key[:, :, part], value[:, :, part], None
            keys[rows, :, stretch.start : stretch.end] = own_keys
            values[rows, :, stretch.start : stretch.end] = own_values
            if stretch.start:
                one = slice(rows.start, rows.start + 1)
                own_keys, own_values = keys[one, :, : stretch.end], values[one, :, : stretch.end]
                mask = self._hidden[stretch.start : stretch.end, : stretch.end]
            output = scaled_dot_product_attention(
                query[:, :, part],
                own_keys,
                own_values,
                attn_mask=mask,
                is_causal=mask is None,
                scale=scale,
                enable_gqa=query.shape[1] > key.shape[1],
            )
            outputs.append(output.transpose(1, 2))
        return torch.cat(outputs, dim=1)


class _Stepping:
    """One token behind each row."""

    def __init__(self, held: KvRows, lengths: Sequence[int]) -> None:
        device = held._model.device
        self._held = held
        self._rows = torch.arange(len(lengths), device=device)
        self._places = torch.tensor(lengths, device=device)
        self._longest = max(lengths) + 1
        hidden = torch.arange(self._longest, device=device) > self._places[:, None]
        mask = torch.zeros(hidden.shape, device=device, dtype=held._model.dtype)
        self._hidden = mask.masked_fill_(hidden, float("-inf"))[:, None, None]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        keys, values = self._held.layer(layer, key, value)
        keys[self._rows, :, self._places] = key[:, :, 0]
        values[self._rows, :, self._places] = value[:, :, 0]
        num, heads, _, width = query.shape
        output = scaled_dot_product_attention(
            query.reshape(num, key.shape[1], -1, width),  # queries that share keys side by side, as if tokens
            keys[:num, :, : self._longest],
            values[:num, :, : self._longest],
            attn_mask=self._hidden,
            scale=scale,
        )
        return output.reshape(num, 1, heads, -1)


def _scored(stretches: Sequence[Stretch]) -> Tensor:
    """Places, in one long row of all stretches, behind which logits are wanted."""
    places: list[int] = []
    end = 0
    for stretch in stretches:
        end += len(stretch.tokens)
        places += range(end - stretch.scored, end)
    return torch.tensor(places)
