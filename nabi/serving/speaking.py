"""What adapters add to the layers' outputs, for a batch whose rows may each go through another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from nabi.serving.blocks import BARE, DOWN, PREFIX, UP, Block, Layout, memory, view


class Speaking:
    """What the rows of the present batch go through; slot by slot of `blocks`, which `AdapterSlots` fills."""

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._copies = _Copies(blocks)
        self._slots: tuple[int, ...] = (BARE,)
        self._counts: tuple[int, ...] = ()
        self._is_settled = False
        self._layout = blocks[BARE].layout
        self._parts: Sequence[_Part] = ()
        self._input: Any = None
        self._group = -1
        self._products: Sequence[Sequence[Any]] = ()

    def choose(self, slots: Sequence[int], counts: Sequence[int] = ()) -> None:
        """Row i of each batch from now on goes through slot `slots[i]`; one slot alone goes for all rows.

        Args:
            counts: where given, batches are one long row, and `counts[i]` of its tokens go through `slots[i]`, in turn.
        """
        self._slots, self._counts, self._is_settled = tuple(slots), tuple(counts), False
        self._input, self._products = None, ()

    def forget(self, slot: int) -> None:
        """Other weights are in it now."""
        self._copies.forget(slot)
        self.choose(self._slots, self._counts)

    def add(self, name: str, linear: Any, args: tuple[Any, ...], output: Any) -> None:
        """A forward hook: adds to a layer's output, in its place, what the adapters make of x (rows, tokens, in)."""
        if not self._is_settled:
            self._settle()
        group, place = self._layout.members[name]
        # The first layer asked of those that read the same input computes what makes it narrow for all of them.
        if args[0] is not self._input or group != self._group:
            self._input, self._group = args[0], group
            num = len(self._layout.groups[group])
            self._products = [part.narrow(args[0], group, num) for part in self._parts]
        for part, products in zip(self._parts, self._products, strict=True):
            part.widen(products[place], name, linear, output)

    def _settle(self) -> None:
        self._layout = self._blocks[BARE].layout
        distinct = tuple(dict.fromkeys(self._slots))
        if distinct == (BARE,):
            self._parts = ()
        elif self._counts and len(distinct) > 1:
            self._parts = list(self._parts_in_turn(distinct))
        else:
            self._parts = (_Part(self._copies.factors(self._slots)),)
        self._is_settled = True

    def _parts_in_turn(self, distinct: Sequence[int]) -> Iterator[_Part]:
        """One for each run of tokens that go through the same slot."""
        factors = self._copies.factors(distinct)
        begin = 0
        for slot, run in groupby(zip(self._slots, self._counts, strict=True), key=itemgetter(0)):
            tokens = slice(begin, begin := begin + sum(count for _, count in run))
            if slot != BARE:
                yield _Part(factors.row(distinct.index(slot)), tokens)


@dataclass(slots=True)
class _Part:
    """Tokens that go through the same factors: those of a run, or all of the batch."""

    factors: _Factors
    tokens: slice | None = None
    is_folded: bool = False

    def narrow(self, x: Any, group: int, num: int) -> Sequence[Any]:
        """x made narrow for each of the `num` layers of a group."""
        down = self.factors.downs[group]
        if self.tokens is not None:
            x = x[:, self.tokens]
        # One adapter for all rows: they are one long row then.
        self.is_folded = x.dim() != 3 or len(x) != len(down)
        if self.is_folded:
            x = x.reshape(1, -1, x.shape[-1])
        narrow = x.bmm(down)
        return narrow.chunk(num, -1) if num > 1 else (narrow,)

    def widen(self, product: Any, name: str, linear: Any, output: Any) -> None:
        """Adds what a layer makes of the narrow product."""
        if self.tokens is not None:
            output = output[:, self.tokens]
        elif self.is_folded:
            output = output.view(1, -1, output.shape[-1])
        up, stretch = self.factors.ups[name], self.factors.stretches.get(name)
        if stretch is None:
            output.baddbmm_(product, up)
        else:
            bias = 0 if linear.bias is None else linear.bias
            output.sub_(bias).baddbmm_(product, up).mul_(stretch).add_(bias)


@dataclass(frozen=True, slots=True)
class _Factors:
    """What the layers multiply by, for one row or several."""

    downs: Sequence[Any]
    """(rows, in, layers × rank) for each group of layers that read the same input."""
    ups: Mapping[str, Any]
    """Layer → (rows, rank, out)."""
    stretches: Mapping[str, Any]
    """Layer → (rows, 1, out); empty when nothing is stretched."""

    def row(self, place: int) -> _Factors:
        """Those of one row."""
        one = slice(place, place + 1)
        ups = {name: up[one] for name, up in self.ups.items()}
        return _Factors([down[one] for down in self.downs], ups, {name: s[one] for name, s in self.stretches.items()})


class _Rows:
    """Copies of blocks to compute with, row by row: downs with the scale multiplied in, ups turned round, which is how
    few tokens are multiplied fastest.

    Args:
        layout: what lies where, but that all ups together are one matrix of (rank, outs).
        flat: the memory, (rows, numbers).
    """

    def __init__(self, layout: Layout, flat: Any) -> None:
        self.layout = layout
        self.flat = flat

    def put(self, row: int, block: Block) -> None:
        """Row `row` is this adapter from now on."""
        import torch

        first, last = self.layout.ups_from, self.layout.stretches_from
        flat, rank = self.flat[row], self.layout.rank
        torch.mul(block.flat[:first], block.scale, out=flat[:first])
        flat[first:last].unflatten(0, (rank, -1)).copy_(block.flat[first:last].unflatten(0, (-1, rank)).mT)
        flat[last:].copy_(block.flat[last:])

    def factors(self, rows: slice, *, is_stretched: bool) -> _Factors:
        """Views into these rows."""
        layout, flat = self.layout, self.flat[rows]
        downs, ups = [], {}
        for group in layout.groups:
            start, (rank, width) = layout.weights[PREFIX + group[0] + DOWN]
            downs.append(view(flat, start, (len(group) * rank, width)).mT)
        turned = flat[:, layout.ups_from : layout.stretches_from].unflatten(1, (layout.rank, -1))
        for name in layout.members:
            start, (width, rank) = layout.weights[PREFIX + name + UP]
            column = (start - layout.ups_from) // rank
            ups[name] = turned[:, :, column : column + width]
        stretches = layout.stretches.items() if is_stretched else ()
        return _Factors(downs, ups, {name: view(flat, *place).unsqueeze(1) for name, place in stretches})


class _Copies:
    """The slots that spoke last, laid out for computing. Rows join and leave a batch between steps, not at each, and
    few at a time: only those that changed are copied."""

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._rows: _Rows | None = None
        self._held: list[int | None] = []
        self._factors: dict[tuple[int, int, bool], _Factors] = {}

    def forget(self, slot: int) -> None:
        self._held = [None if held == slot else held for held in self._held]

    def factors(self, slots: Sequence[int]) -> _Factors:
        """One row for each of these slots, or a single one where all are the same."""
        if len(set(slots)) == 1:
            slots = slots[:1]
        layout = self._blocks[BARE].layout
        if self._rows is None or self._rows.layout is not layout or len(self._held) < len(slots):
            self._rows, self._factors = None, {}
            num = 1 << (len(slots) - 1).bit_length()
            like = self._blocks[BARE].flat
            self._rows = _Rows(layout, memory(num, layout.num, dtype=like.dtype, device=like.device))
            self._held = [None] * num
        # A newcomer's prompt is read alone: where it is in a row already, or in the one that the others need least.
        first = 0 if len(slots) > 1 else self._held.index(slots[0]) if slots[0] in self._held else len(self._held) - 1
        for row, slot in enumerate(slots, start=first):
            if self._held[row] != slot:
                self._rows.put(row, self._blocks[slot])
                self._held[row] = slot
        kind = (first, len(slots), any(self._blocks[slot].is_stretched for slot in slots))
        if kind not in self._factors:
            rows = slice(first, first + len(slots))
            self._factors[kind] = self._rows.factors(rows, is_stretched=kind[2])
        return self._factors[kind]
