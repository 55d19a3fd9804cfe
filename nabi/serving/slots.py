"""Many adapters over one base, in memory that is laid out once: loading one fills a block, choosing one is a number,
and a batch may choose another for each row.

PEFT puts modules of its own into the model for every adapter, so loading and switching slow down as adapters gather.
Here a hook on each linear layer adds what the row's slot says. Slot 0 is empty: the bare base.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nabi.errors import ModelError
from nabi.serving.blocks import BARE, DOWN, LENGTHS, PREFIX, UP, Block, Layout, memory
from nabi.serving.speaking import Speaking
from nabi.training.adapter import AdapterManifest, WeightsFile


class AdapterSlots:
    """Slots 1…`num_slots` over a model that stays as it is. One thread at a time, but for `room`.

    A slot has room for what adapters so far needed; one that is wider, or changes other layers, widens all slots once.

    Args:
        model: the frozen base, as `load_base` gives it.
        num_slots: adapters held at once.
    """

    def __init__(self, model: Any, num_slots: int) -> None:
        self.num_slots = num_slots
        self._device, self._dtype = model.device, model.dtype
        self._linears = _linear_layers(model)
        _turn_weights(self._linears.values())
        self._layout = Layout({}, rank=0)
        self._blocks = [self._empty() for _ in range(num_slots + 1)]
        self._spares: deque[Block] = deque(maxlen=1)
        self._speaking = Speaking(self._blocks)
        self._hooks: dict[str, Any] = {}

    def write(self, slot: int, manifest: AdapterManifest, tensors: Mapping[str, Any], *, where: Path) -> None:
        """Put checked weights (`AdapterReader`) into a slot, over what was there. A block that came of `room` becomes
        the slot's own, or is read into next: it must not be used any more.

        Raises:
            ModelError: the adapter changes layers that this base does not have, or of another shape.
        """
        block = tensors if self._is_laid_out(tensors) else self._lay_out(manifest, tensors, where)
        assert isinstance(block, Block)
        block.scale = manifest.scale
        held = self._blocks[slot]
        if (block.flat.device, block.flat.dtype) == (held.flat.device, held.flat.dtype):
            self._blocks[slot], block = block, held
        else:
            held.copy(block)
        self._spares.append(block)
        self._speaking.forget(slot)

    def room(self, weights: WeightsFile) -> Block | None:
        """Where an adapter's file may be read into before it is written; None when its weights are others than those
        that the slots have. For any thread: whoever reads does not hold up the one that computes."""
        layout = self._layout
        if weights.dtype is None or weights.shapes != layout.shapes:
            return None
        block = self._spare(layout, weights.dtype)
        block.stretch_nothing()
        return block

    @contextlib.contextmanager
    def speaking(self, slots: Sequence[int], counts: Sequence[int] = ()) -> Iterator[None]:
        """Within, row i of every batch goes through slot `slots[i]`; one slot alone goes for all rows.

        Args:
            counts: where given, batches are one long row, and `counts[i]` of its tokens go through `slots[i]`, in turn.
        """
        self._speaking.choose(slots, counts)
        try:
            yield
        finally:
            self._speaking.choose((BARE,))

    @property
    def slot_bytes(self) -> int:
        """What one more slot takes, for the layers in use so far."""
        return int(self._layout.num * self._dtype.itemsize)

    def close(self) -> None:
        """Take the hooks off the model and let the memory go."""
        for hook in self._hooks.values():
            hook.remove()
        self._hooks = {}
        self._layout = Layout({}, rank=0)
        self._blocks = [self._empty() for _ in self._blocks]
        self._spares.clear()
        self._speaking = Speaking(self._blocks)

    def slot_bytes_with(self, manifest: AdapterManifest, tensors: Mapping[str, Any], *, where: Path) -> int:
        """What a slot takes once this adapter has been written into one: a wider adapter widens all of them.

        Raises:
            ModelError: as for `write`.
        """
        layout = self._layout if self._is_laid_out(tensors) else self._layout_with(manifest, tensors, where)
        return int(layout.num * self._dtype.itemsize)

    def add_slots(self, num: int) -> None:
        """Room for so many adapters more; what is in the slots stays. Fewer than none takes the last slots away."""
        self.num_slots += num
        del self._blocks[self.num_slots + 1 :]
        self._blocks += [self._empty() for _ in range(num)]

    def _is_laid_out(self, tensors: Mapping[str, Any]) -> bool:
        return isinstance(tensors, Block) and tensors.layout is self._layout

    def _lay_out(self, manifest: AdapterManifest, tensors: Mapping[str, Any], where: Path) -> Block:
        """A block with weights that are not all of those that the slots have, or come with others; then all slots get
        room for those."""
        layout = self._layout_with(manifest, tensors, where)
        if layout is not self._layout:
            self._move_to(layout)
        block = self._spare(layout, self._dtype)
        block.fill(tensors)
        for name in layout.stretches:
            lengths = tensors.get(f"{PREFIX}{name}{LENGTHS}")
            if lengths is not None:
                down, up = (tensors[f"{PREFIX}{name}{ending}"] for ending in (DOWN, UP))
                block.stretches[name].copy_(_stretch(self._linears[name], down, up, lengths, manifest.scale))
                block.is_stretched = True
        return block

    def _layout_with(self, manifest: AdapterManifest, tensors: Mapping[str, Any], where: Path) -> Layout:
        """The slots' layout once this adapter is among theirs; every weight must belong to a linear layer of the base
        and fit it."""
        layout = self._layout
        names = {_layer(name) for name in tensors}
        for name in sorted(names):
            linear = self._linears.get(name)
            down, up = (tensors.get(f"{PREFIX}{name}{ending}") for ending in (DOWN, UP))
            if linear is None or down is None or up is None:
                raise _misfit(where, f"{name} is no linear layer of it that an adapter may change")
            if (down.shape[1], up.shape[0]) != (linear.in_features, linear.out_features):
                raise _misfit(where, f"{name} has another shape there")
        stretched = {name for name in names if f"{PREFIX}{name}{LENGTHS}" in tensors}
        if names <= layout.members.keys() and stretched <= layout.stretches.keys() and manifest.r <= layout.rank:
            return layout
        linears = {name: self._linears[name] for name in names | layout.members.keys()}
        return Layout(linears, max(layout.rank, manifest.r), stretched | layout.stretches.keys())

    def _move_to(self, layout: Layout) -> None:
        self._layout = layout
        for slot, before in enumerate(self._blocks):
            self._blocks[slot] = self._empty()
            self._blocks[slot].copy(before)
        for name in layout.members.keys() - self._hooks.keys():
            hook = partial(self._speaking.add, name)
            self._hooks[name] = self._linears[name].register_forward_hook(hook)

    def _empty(self) -> Block:
        block = Block(self._layout, memory(self._layout.num, dtype=self._dtype, device=self._device))
        block.stretch_nothing()
        return block

    def _spare(self, layout: Layout, dtype: Any) -> Block:
        """A block on the CPU with whatever was in it."""
        with contextlib.suppress(IndexError):  # there is none, or another thread took it
            block = self._spares.pop()
            if block.layout is layout and block.flat.dtype == dtype:
                return block
        # The device fetches by itself what lies in pinned memory.
        return Block(layout, memory(layout.num, dtype=dtype, pin_memory=self._device.type == "cuda"))


def _linear_layers(model: Any) -> dict[str, Any]:
    """Every linear layer by its name, but not the output layer, which shares its weights with the embeddings."""
    from torch import nn

    head = model.get_output_embeddings()
    return {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head
    }


def _turn_weights(linears: Iterable[Any]) -> None:
    """Lays weights out input by input: what 8 to 100 tokens are multiplied with fastest on a CPU. Their values and
    shapes stay."""
    for linear in linears:
        weight = linear.weight
        if weight.device.type == "cpu" and weight.dtype.is_floating_point:
            weight.data = weight.data.t().contiguous().t()


def _stretch(linear: Any, down: Any, up: Any, lengths: Any, scale: float) -> Any:
    """DoRA (Liu et al. 2024, https://arxiv.org/abs/2402.09353): the learned length of each output's weights over the
    one that base and factors have together."""
    weight = _plain_weight(linear)
    product = up.to(weight.device) @ down.to(weight.device)
    return lengths.to(weight.device) / (weight + scale * product.to(weight.dtype)).norm(dim=1)


def _plain_weight(linear: Any) -> Any:
    """A layer's weights as numbers, (out, in), whatever they are quantised to."""
    import torch

    if linear.weight.dtype.is_floating_point and linear.weight.shape == (linear.out_features, linear.in_features):
        return linear.weight
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(linear.weight.data, linear.weight.quant_state).to(torch.float32)


def _layer(name: str) -> str:
    """The layer that a weight belongs to."""
    for ending in (DOWN, UP, LENGTHS):
        name = name.removesuffix(ending)
    return name.removeprefix(PREFIX)


def _misfit(where: Path, reason: str) -> ModelError:
    return ModelError(
        f"the adapter does not fit the base that is loaded ({reason})",
        where=str(where),
        fix="Use the base it was made for, or train it again on this one.",
    )
