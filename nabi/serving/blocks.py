"""An adapter's weights in one piece of memory, filled by one read of its file.

downs      what makes an input narrow, (rank, in) each; layers that read the same input side by side
ups        what makes it wide again, (out, rank) each
stretches  with DoRA, by how much each output is made longer, (out) each
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from nabi.training.adapter import WeightsFile

BARE = 0
"""The slot that adds nothing."""

PREFIX = "base_model.model."
"""PEFT's, before the name of a layer."""

DOWN, UP, LENGTHS = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
"""PEFT's endings behind the name of a layer."""

_READ_THE_SAME = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Siblings that are given the same input in Llama and its kin. Where a model does otherwise, the product of one is not
used for the other (`Speaking`): that costs time only."""


class Layout:
    """Where in a block the weights of each layer begin.

    Args:
        linears: the layers that adapters change, by name.
        rank: what the widest adapter needs.
        stretched: names of those which a DoRA adapter makes longer.
    """

    def __init__(self, linears: Mapping[str, Any], rank: int, stretched: Collection[str] = ()) -> None:
        self.rank = rank
        self.groups = _reading_the_same(linears)
        self.members = {
            name: (group, place) for group, names in enumerate(self.groups) for place, name in enumerate(names)
        }
        """Layer → its group, and its place among those that read the same input."""
        self.weights: dict[str, tuple[int, tuple[int, ...]]] = {}
        """PEFT's name → first number, shape."""
        self.stretches: dict[str, tuple[int, tuple[int, ...]]] = {}
        """Layer → first number, shape."""
        self.num = 0
        for name in self.members:
            self._place(self.weights, PREFIX + name + DOWN, (rank, linears[name].in_features))
        self.ups_from = self.num
        for name in self.members:
            self._place(self.weights, PREFIX + name + UP, (linears[name].out_features, rank))
        self.stretches_from = self.num
        for name in sorted(stretched):
            self._place(self.stretches, name, (linears[name].out_features,))
        self.shapes = {name: shape for name, (_, shape) in self.weights.items()}

    def _place(self, among: dict[str, tuple[int, tuple[int, ...]]], name: str, shape: tuple[int, ...]) -> None:
        among[name] = (self.num, shape)
        self.num += math.prod(shape)


class Block(Mapping[str, Any]):
    """An adapter's weights by PEFT's names, each a view into `flat`.

    Args:
        layout: what lies where.
        flat: the memory, (numbers).
    """

    def __init__(self, layout: Layout, flat: Any) -> None:
        self.layout = layout
        self.flat = flat
        self.scale = 1.0
        self.is_stretched = False

    def __getitem__(self, name: str) -> Any:
        return view(self.flat, *self.layout.weights[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.weights)

    def __len__(self) -> int:
        return len(self.layout.weights)

    @cached_property
    def stretches(self) -> dict[str, Any]:
        """Layer → (out)."""
        return {name: view(self.flat, *place) for name, place in self.layout.stretches.items()}

    @cached_property
    def _bytes(self) -> dict[str, memoryview]:
        import torch

        whole, size = memoryview(self.flat.view(torch.uint8).numpy()), self.flat.itemsize
        return {
            name: whole[start * size : (start + math.prod(shape)) * size]
            for name, (start, shape) in self.layout.weights.items()
        }

    def parts_of(self, weights: WeightsFile) -> list[memoryview]:
        """The memory of each weight, in the file's order."""
        return [self._bytes[name] for name in weights.shapes]

    def fill(self, weights: Mapping[str, Any]) -> None:
        """Copies weights in, by name: smaller ones into the corner of their place, zeros for what there is none of."""
        self.flat.zero_()
        self.stretch_nothing()
        for name in self.layout.weights.keys() & weights.keys():
            weight, place = weights[name], self[name]
            if weight.shape != place.shape:
                place = place[tuple(map(slice, weight.shape))]
            place.copy_(weight)

    def copy(self, other: Block) -> None:
        """Becomes the same as a block elsewhere, of another number type or of a layout with less in it."""
        if other.layout is self.layout:
            self.flat.copy_(other.flat)
        else:
            self.fill(other)
            for name, stretch in other.stretches.items():
                self.stretches[name].copy_(stretch)
        self.scale, self.is_stretched = other.scale, other.is_stretched

    def stretch_nothing(self) -> None:
        """What an adapter without DoRA asks for."""
        if self.layout.stretches:
            self.flat[self.layout.stretches_from :] = 1
        self.is_stretched = False


def view(flat: Any, start: int, shape: tuple[int, ...]) -> Any:
    """A part of each row, as numbers of that shape."""
    strides = (*shape[1:], 1)
    return flat.as_strided((*flat.shape[:-1], *shape), (*flat.stride()[:-1], *strides), flat.storage_offset() + start)


def _reading_the_same(linears: Mapping[str, Any]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, Any, int], list[str]] = {}
    for name in sorted(linears):
        parent, _, own = name.rpartition(".")
        kin = next((kin for kin in _READ_THE_SAME if own in kin), own)
        groups.setdefault((parent, kin, linears[name].in_features), []).append(name)
    return [tuple(group) for group in groups.values()]


def memory(*shape: int, **place: Any) -> Any:
    """Zeros that any thread may write to: what is made in inference mode can be written there only."""
    import torch

    with torch.inference_mode(False):
        return torch.zeros(shape, **place)
