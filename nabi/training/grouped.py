"""Several adapters over one base, a step of each computed as one batch: made for a GPU, which small batches leave idle.

Each adapter keeps a `Training` and a `Learner` of its own, as if it were trained alone: its order, loss, clipping,
optimiser, random numbers, early stopping and checkpoints. Shared are the forward and the backward pass of their
samples alone. In these every row is computed with the factors of the adapter that it belongs to, so that no row has
any part in another adapter's loss or gradients; what is computed differs from what it would be alone by the rounding
of sums. Between the passes, for held-out samples and answers marked bad, each adapter answers by itself.

The factors of all adapters lie stacked, (adapters, r, in) and (adapters, out, r), and each learner's weights are its
slice of them: an optimiser's step needs no copying. On a CPU one after another is faster (`benchmarks/training.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nabi.errors import ModelError, NabiError
from nabi.training.base_model import LoadedBase
from nabi.training.learner import Learner
from nabi.training.loss import collate, computed_once, token_losses
from nabi.training.preference import num_learned
from nabi.training.side_by_side import SideBySide
from nabi.training.tokenise import IGNORED, TokenisedSample
from nabi.training.trainer import (
    ADAPTER,
    Fitted,
    Task,
    Training,
    multiplying,
    on_device,
    parts_of_step,
    prepare,
    put_adapter,
)

_WHOLE = SideBySide(1, None)
_ALONE = "Train them one after another: NABI_TRAIN_AT_ONCE=1."


def fit_together(base: LoadedBase, tasks: Sequence[Task], on_end: Callable[[int, Fitted | NabiError], None]) -> None:
    """Train an adapter for each task over `base`, whose weights stay as they are.

    The tasks' recipes agree in rank, target modules, `recompute` and `rows`, and none asks for DoRA, whose lengths need
    the whole product of the factors for each adapter. Everything else may differ.

    Args:
        on_end: gets a task's place in `tasks` and its adapter as soon as it has taken its last step, or why it failed,
            which keeps no other from its training.
    """
    prepare(base, recompute=tasks[0].recipe.recompute, longest=max(task.longest for task in tasks))
    learners: dict[int, Learner] = {}
    for number, task in enumerate(tasks):
        try:
            model, learners[number] = put_adapter(base, task)
        except ModelError as error:
            on_end(number, error)
        else:
            model.unload()
    if not learners:
        return
    # Any adapter's model will do: its layers are told whose factors to use.
    model, _ = put_adapter(base, tasks[next(iter(learners))])
    group = _Group(model, base, list(learners.values()))
    seats = [_Seat(number, Training(model, base, learner, tasks[number])) for number, learner in learners.items()]
    model.train()
    _each(group, seats, on_end, lambda seat: seat.training.begin())
    while seats := [seat for seat in seats if not seat.ended]:
        group.keep([seat.learner for seat in seats])
        for seat, loss in zip(seats, group.compute([seat.next_part() for seat in seats]), strict=True):
            seat.loss += loss
        _each(group, [seat for seat in seats if not seat.parts], on_end, _Seat.step)
    model.unload()


@dataclass
class _Seat:
    """One training in the group, and what of its coming step is still to be computed."""

    number: int
    training: Training
    parts: deque[_Part] = field(default_factory=deque)
    loss: float = 0.0
    ended: bool = False

    @property
    def learner(self) -> Learner:
        return self.training.learner

    def next_part(self) -> _Part:
        """The next part of the step under way, or the first one of the coming step."""
        if not self.parts:
            self.loss = 0.0
            pieces = parts_of_step(self.learner, self.training.task.rows, _WHOLE)
            num_tokens = sum(num_learned(sample) for (samples,) in pieces for sample in samples)
            parts = (_Part(self.learner, place, samples, num_tokens) for place, (samples,) in enumerate(pieces))
            self.parts.extend(parts)
        return self.parts.popleft()

    def step(self) -> None:
        self.training.step(self.loss)


@dataclass(frozen=True)
class _Part:
    """Samples of one learner that are computed in one pass; `num_tokens` are learned in its whole step."""

    learner: Learner
    place: int
    samples: Sequence[TokenisedSample]
    num_tokens: int


def _each(
    group: _Group,
    seats: Sequence[_Seat],
    on_end: Callable[[int, Fitted | NabiError], None],
    work: Callable[[_Seat], None],
) -> None:
    """Let each training do something by itself, and end those that are done or failed."""
    for seat in seats:
        group.only(seat.learner)
        outcome: Fitted | NabiError
        try:
            work(seat)
            if not seat.learner.done:
                continue
            outcome = seat.training.end()
        except NabiError as error:
            outcome = error
        seat.ended = True
        on_end(seat.number, outcome)


class _Group:
    """A model whose adapted layers compute for one learner alone, or for all of them at once."""

    def __init__(self, model: Any, base: LoadedBase, learners: Sequence[Learner]) -> None:
        self._model = model
        self._base = base
        self._learners: list[Learner] = []
        self._stacks: dict[str, Tensor] = {}
        self._turn = _Turn()
        for name, module in model.named_modules():
            if ADAPTER in getattr(module, "lora_A", ()):
                layer = module.lora_variant[ADAPTER] = _Layer(name, self._stacks, self._turn)
                self._stacks |= dict.fromkeys((layer.down, layer.up), torch.empty(0))
        if odd := sorted(set(learners[0].weights) ^ set(self._stacks)):
            raise ModelError(f"adapters of {odd[0]} cannot share a batch", fix=_ALONE)
        self.keep(learners)

    def only(self, learner: Learner) -> None:
        """Until the next pass, the model answers as this learner's alone."""
        self._turn.alone, self._turn.batch = learner, None

    def keep(self, learners: Sequence[Learner]) -> None:
        """Make the stacks for these learners, where they are others than before."""
        if list(learners) == self._learners:
            return
        self._learners = list(learners)
        for name in self._stacks:
            stack = torch.stack([learner.weights[name].detach() for learner in learners])
            for learner, weight in zip(learners, stack, strict=True):
                learner.weights[name].data = weight
            self._stacks[name] = stack.requires_grad_()

    def compute(self, parts: Sequence[_Part]) -> list[float]:
        """One forward and backward pass over a part of each learner; adds the gradients, and gives each part's loss."""
        pad_id, rows = self._base.tokenizer.pad_token_id, max(len(part.samples) for part in parts)
        own = [collate([sample.row for sample in part.samples], pad_id) for part in parts]
        whole = collate([row for part in parts for row in _filled_up(part.samples, rows)], pad_id)
        for part in parts:
            part.learner.begin_part(part.place)
        scales = torch.tensor([part.learner.recipe.scale for part in parts], device=self._base.device)
        shapes = [_OwnShape(*_size(batch), computed_once(self._model, batch)) for batch in own]
        learners = [part.learner for part in parts]
        self._turn.alone, self._turn.batch = None, _Batch(learners, shapes, scales.view(-1, 1, 1), rows)
        learned = [sum(map(num_learned, part.samples)) for part in parts]
        with multiplying(self._base):
            losses = token_losses(self._model, on_device(self._base, whole), whole_rows=True)
            sums = torch.stack([some.sum() for some in torch.split(losses, learned)])
            shares = sums / torch.tensor([part.num_tokens for part in parts], device=sums.device)
        # Each share hangs on its own learner's slices alone: the gradients of the sum are those of the shares.
        gradients = torch.autograd.grad(shares.sum(), tuple(self._stacks.values()))
        for place, part in enumerate(parts):
            part.learner.add(tuple(gradient[place] for gradient in gradients))
        told: list[float] = shares.tolist()
        return told


def _filled_up(samples: Sequence[TokenisedSample], rows: int) -> list[dict[str, list[int]]]:
    """The samples as so many rows; those beside them hold one token, of which nothing is learned."""
    empty = {"input_ids": samples[0].input_ids[:1], "labels": [IGNORED]}
    return [sample.row for sample in samples] + [empty] * (rows - len(samples))


def _size(batch: Mapping[str, Tensor]) -> tuple[int, int]:
    rows, width = batch["input_ids"].shape
    return rows, width


@dataclass(frozen=True)
class _OwnShape:
    """A part's rows and width as they would be without the group, and how many tokens would be computed once."""

    rows: int
    width: int
    shared: int


@dataclass(frozen=True)
class _Batch:
    """Whose rows a pass holds, `rows` of each learner after those of the one before."""

    learners: Sequence[Learner]
    shapes: Sequence[_OwnShape]
    scales: Tensor
    rows: int


class _Turn:
    """For whom the layers compute now."""

    def __init__(self) -> None:
        self.alone: Learner | None = None
        self.batch: _Batch | None = None


class _Layer:
    """What one adapted layer adds to its output; PEFT calls it in the place of its own products."""

    def __init__(self, name: str, stacks: Mapping[str, Tensor], turn: _Turn) -> None:
        self._name = name
        self.down, self.up = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
        self._stacks = stacks
        self._turn = turn

    def forward(self, module: Any, *, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """The layer's output with what the adapters add to it."""
        batch = self._turn.batch
        if batch is None:
            return self._forward_alone(module, x, result)
        if x.dim() != 3 or len(x) != len(batch.learners) * batch.rows:
            raise ModelError(
                f"the layer {self._name} was given {tuple(x.shape)}, not one row for each sample",
                fix=_ALONE,
            )
        mask = self._mask(batch, x)
        seen = (x if mask is None else x * mask).reshape(len(batch.learners), -1, x.shape[-1])
        inner = torch.bmm(seen, self._stacks[self.down].transpose(1, 2)) * batch.scales
        added = torch.bmm(inner, self._stacks[self.up].transpose(1, 2))
        return result + added.view_as(result).to(result.dtype)

    def _forward_alone(self, module: Any, x: Tensor, result: Tensor) -> Tensor:
        learner = self._turn.alone
        assert learner is not None, "a pass belongs to one learner or to all of them"
        dropout = learner.dropouts.get(self._name)
        if dropout is not None and module.training:
            x = dropout(x)
        inner = functional.linear(x, learner.weights[self.down])
        added = functional.linear(inner, learner.weights[self.up]) * learner.recipe.scale
        return result + added.to(result.dtype)

    def _mask(self, batch: _Batch, x: Tensor) -> Tensor | None:
        """Each learner's own mask on its own rows, drawn in the shapes that it would have alone; None without any."""
        masks = {
            place: learner.dropouts[self._name]
            for place, learner in enumerate(batch.learners)
            if self._name in learner.dropouts
        }
        if not masks:
            return None
        whole = torch.ones_like(x)
        for place, dropout in masks.items():
            own, first = batch.shapes[place], place * batch.rows
            behind = dropout.drawn(x.new_empty(own.rows, own.width - own.shared, x.shape[-1]))
            whole[first : first + own.rows, own.shared : own.width] = behind
            if own.shared:
                before = dropout.drawn(x.new_empty(1, own.shared, x.shape[-1]))
                whole[first : first + own.rows, : own.shared] = before
        return whole
