"""Many adapters over one base, in memory that is laid out once: loading one copies it into a slot, choosing one is a
number, and a batch may choose another for each row.

PEFT puts modules of its own into the model for every adapter, so loading and switching slow down as adapters gather.
Here a hook on each linear layer adds what the row's slot says. Slot 0 is empty: the bare base.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nabi.errors import ModelError
from nabi.training.adapter import AdapterManifest

BARE = 0
"""The slot that adds nothing."""

DEFAULT_RANK = 16
"""Room of a slot at first (requirement A3); a wider adapter widens every slot once."""

_PREFIX = "base_model.model."
_DOWN, _UP, _LENGTHS = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"


class AdapterSlots:
    """Slots 1…`num_slots` over a model that stays as it is. One thread at a time.

    Args:
        model: the frozen base, as `load_base` gives it.
        num_slots: adapters held at once.
        rank: width of a slot before the first adapter needs more.
    """

    def __init__(self, model: Any, num_slots: int, *, rank: int = DEFAULT_RANK) -> None:
        self.num_slots = num_slots
        self._rank = rank
        self._dtype = model.dtype
        self._linears = _linear_layers(model)
        self._layers: dict[str, _SlottedLayer] = {}
        self._speaking = _Speaking()

    def write(self, slot: int, manifest: AdapterManifest, tensors: Mapping[str, Any], *, where: Path) -> None:
        """Copy checked weights (`load_verified`) into a slot, over what was there.

        Raises:
            ModelError: the adapter changes layers that this base does not have, or of another shape.
        """
        changes = self._changes(tensors, where)
        if manifest.r > self._rank:
            self._widen(manifest.r)
        for name in changes.keys() - self._layers.keys():
            shape = (self.num_slots + 1, self._rank)
            self._layers[name] = _SlottedLayer(name, self._linears[name], shape, self._dtype, self._speaking)
        self._speaking.forget_gathered()
        for name, layer in self._layers.items():
            layer.write(slot, changes.get(name), manifest.scale)

    @contextlib.contextmanager
    def speaking(self, slots: Sequence[int]) -> Iterator[None]:
        """Within, row i of every batch goes through slot `slots[i]`; one slot alone goes for all rows."""
        self._speaking.slots = tuple(slots)
        try:
            yield
        finally:
            self._speaking.slots = (BARE,)

    @property
    def slot_bytes(self) -> int:
        """What one more slot takes, for the layers in use so far."""
        return sum(layer.slot_bytes for layer in self._layers.values())

    def close(self) -> None:
        """Take the hooks off the model and let the memory go."""
        for layer in self._layers.values():
            layer.hook.remove()
        self._layers = {}

    def slot_bytes_with(self, manifest: AdapterManifest, tensors: Mapping[str, Any], *, where: Path) -> int:
        """What a slot takes once this adapter has been written into one: a wider adapter widens all of them.

        Raises:
            ModelError: as for `write`.
        """
        changes = self._changes(tensors, where)
        rank = max(self._rank, manifest.r)
        stretched = {name for name, change in changes.items() if change.lengths is not None}
        stretched |= {name for name, layer in self._layers.items() if layer.stretch is not None}
        numbers = sum(
            rank * (self._linears[name].in_features + self._linears[name].out_features)
            for name in self._layers.keys() | changes.keys()
        )
        numbers += sum(self._linears[name].out_features for name in stretched)
        return int(numbers * self._dtype.itemsize)

    def add_slots(self, num: int) -> None:
        """Room for so many adapters more; what is in the slots stays. Fewer than none takes the last slots away."""
        self.num_slots += num
        self._speaking.forget_gathered()
        for layer in self._layers.values():
            layer.add_slots(num)

    def _changes(self, tensors: Mapping[str, Any], where: Path) -> dict[str, _Change]:
        """What an adapter does to each layer; every weight must belong to a linear layer of the base and fit it."""
        endings = (_DOWN, _UP, _LENGTHS)
        names = {_without_ending(name.removeprefix(_PREFIX), endings) for name in tensors}
        changes = {}
        for name in sorted(names):
            linear = self._linears.get(name)
            down, up, lengths = (tensors.get(f"{_PREFIX}{name}{ending}") for ending in endings)
            if linear is None or down is None or up is None:
                raise _misfit(where, f"{name} is no linear layer of it that an adapter may change")
            if (down.shape[1], up.shape[0]) != (linear.in_features, linear.out_features):
                raise _misfit(where, f"{name} has another shape there")
            changes[name] = _Change(down, up, lengths)
        return changes

    def _widen(self, rank: int) -> None:
        self._rank = rank
        for layer in self._layers.values():
            layer.widen(rank)


@dataclass(frozen=True, slots=True)
class _Change:
    """What an adapter does to a layer: `down` (rank, in), `up` (out, rank), and with DoRA `lengths` (out)."""

    down: Any
    up: Any
    lengths: Any | None


class _Speaking:
    """Which slot each row of the present batch goes through, and the weights gathered for the last mixed batch.

    Rows join and leave between steps, not at each: what was gathered for a step serves the next ones too.
    """

    def __init__(self) -> None:
        self.slots: tuple[int, ...] = (BARE,)
        self._gathered: dict[str, tuple[Any, Any]] = {}
        self._gathered_for: tuple[int, ...] = ()

    @property
    def only(self) -> int | None:
        """The one slot of all rows; None when they differ."""
        return self.slots[0] if len(set(self.slots)) == 1 else None

    def forget_gathered(self) -> None:
        self._gathered = {}

    def gathered(self, layer: _SlottedLayer) -> tuple[Any, Any]:
        """A layer's `down` and `up`, row by row."""
        import torch

        if self._gathered_for != self.slots:
            self._gathered, self._gathered_for = {}, self.slots
        if layer.name not in self._gathered:
            rows = torch.tensor(self.slots, device=layer.down.device)
            self._gathered[layer.name] = (layer.down.index_select(0, rows), layer.up.index_select(0, rows))
        return self._gathered[layer.name]


class _SlottedLayer:
    """One linear layer's slots: `down` (slots, in, rank); `up` (slots, rank, out), with the scale multiplied in; and
    once a DoRA adapter came, `stretch` (slots, out), by which the layer's outputs are made longer."""

    def __init__(self, name: str, linear: Any, shape: tuple[int, int], dtype: Any, speaking: _Speaking) -> None:
        import torch

        num, rank = shape
        place = {"dtype": dtype, "device": linear.weight.device}
        self.name = name
        self.down = torch.zeros((num, linear.in_features, rank), **place)
        self.up = torch.zeros((num, rank, linear.out_features), **place)
        self.stretch: Any | None = None
        self.hook = linear.register_forward_hook(self._add)
        self._linear = linear
        self._speaking = speaking

    @property
    def slot_bytes(self) -> int:
        stretch = 0 if self.stretch is None else self.stretch[0].nbytes
        return int(self.down[0].nbytes + self.up[0].nbytes + stretch)

    def write(self, slot: int, change: _Change | None, scale: float) -> None:
        self.down[slot].zero_()
        self.up[slot].zero_()
        if self.stretch is not None:
            self.stretch[slot] = 1
        if change is None:
            return
        rank = change.down.shape[0]
        self.down[slot, :, :rank].copy_(change.down.T)
        self.up[slot, :rank].copy_(change.up.T * scale)
        if change.lengths is not None:
            if self.stretch is None:
                self.stretch = self.up.new_ones((self.up.shape[0], self.up.shape[2]))
            self.stretch[slot].copy_(self._stretch(change.down, change.up, change.lengths, scale))

    def widen(self, rank: int) -> None:
        from torch.nn import functional

        more = rank - self.down.shape[2]
        self.down = functional.pad(self.down, (0, more))
        self.up = functional.pad(self.up, (0, 0, 0, more))

    def add_slots(self, num: int) -> None:
        from torch.nn import functional

        # With fewer slots than before this cuts off the last ones, into a tensor of its own.
        self.down = functional.pad(self.down, (0, 0, 0, 0, 0, num))
        self.up = functional.pad(self.up, (0, 0, 0, 0, 0, num))
        if self.stretch is not None:
            self.stretch = functional.pad(self.stretch, (0, 0, 0, num), value=1.0)

    def _stretch(self, down: Any, up: Any, lengths: Any, scale: float) -> Any:
        """DoRA (Liu et al. 2024, https://arxiv.org/abs/2402.09353): the learned length of each output's weights over
        the one that base and factors have together."""
        weight = _plain_weight(self._linear)
        product = up.to(weight.device) @ down.to(weight.device)
        return lengths.to(weight.device) / (weight + scale * product.to(weight.dtype)).norm(dim=1)

    def _add(self, linear: Any, args: tuple[Any, ...], output: Any) -> Any:
        """What the layer gives and what the adapters add, for x of shape (rows, tokens, in)."""
        only = self._speaking.only
        if only == BARE:
            return output
        x = args[0].to(self.down.dtype)
        if only is not None:
            added = (x @ self.down[only]) @ self.up[only]
        else:
            down, up = self._speaking.gathered(self)
            added = x.bmm(down).bmm(up)
        if self.stretch is None:
            return output + added.to(output.dtype)
        stretch = self.stretch[only] if only is not None else self.stretch[list(self._speaking.slots)][:, None]
        bias = 0 if linear.bias is None else linear.bias
        return bias + (stretch * (output - bias + added)).to(output.dtype)


def _linear_layers(model: Any) -> dict[str, Any]:
    """Every linear layer by its name, but not the output layer, which shares its weights with the embeddings."""
    from torch import nn

    head = model.get_output_embeddings()
    return {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head
    }


def _plain_weight(linear: Any) -> Any:
    """A layer's weights as numbers, (out, in), whatever they are quantised to."""
    import torch

    if linear.weight.dtype.is_floating_point and linear.weight.shape == (linear.out_features, linear.in_features):
        return linear.weight
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(linear.weight.data, linear.weight.quant_state).to(torch.float32)


def _without_ending(name: str, endings: Sequence[str]) -> str:
    for ending in endings:
        name = name.removesuffix(ending)
    return name


def _misfit(where: Path, reason: str) -> ModelError:
    return ModelError(
        f"the adapter does not fit the base that is loaded ({reason})",
        where=str(where),
        fix="Use the base it was made for, or train it again on this one.",
    )
