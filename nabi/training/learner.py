"""One adapter while it learns: its weights, optimiser, random numbers, place in the data, and loss curve.

All that a training must remember lies here, so that a checkpoint of it is whole. Several learners can share one base
in memory: nothing of one is seen by another.
"""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nabi.errors import ModelError
from nabi.training.checkpoint import Checkpoint
from nabi.training.order import epoch_order
from nabi.training.preference import places_of_step
from nabi.training.recipe import Recipe, learning_rate
from nabi.training.tokenise import TokenisedSample

MAX_NORM = 1.0
"""Gradients of one step are scaled down to this norm, as transformers' `Trainer` does by default."""


class Learner:
    """The state of one training.

    Args:
        adapter: its name inside the model.
        model: PEFT's model that holds the adapter.
        samples: what to learn from.
        num_bad: how many bad answers it learns from beside them.
        seed: of orders and dropout.
    """

    def __init__(
        self,
        model: Any,
        adapter: str,
        samples: Sequence[TokenisedSample],
        recipe: Recipe,
        *,
        num_bad: int,
        seed: int,
        device: str,
    ) -> None:
        self.adapter = adapter
        self.recipe = recipe
        self.samples = samples
        self.step = 0
        self.losses: list[tuple[int, float]] = []
        self.num_bad = num_bad
        self.preference_losses: list[tuple[int, float]] = []
        self.reference: Tensor | None = None
        """Log-probabilities of the bad answers and of the better ones before the first step."""
        self.holdout_before: float | None = None
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.epochs_without_better = 0
        self.stopped = False
        self._lengths = [len(sample.input_ids) for sample in samples]
        self.config: dict[str, Any] = model.peft_config[adapter].to_dict()
        """PEFT's configuration of the adapter."""
        self.weights = _weights(model, adapter)
        """The adapter's parameters under the names that PEFT gives them in a file."""
        self._optimiser = torch.optim.AdamW(self.weights.values(), lr=recipe.learning_rate, weight_decay=0, fused=True)
        self._orders = torch.Generator().manual_seed(seed)
        self._order: list[int] = []
        self._place = _Place(seed)
        self.dropouts = _place_dropout(model, adapter, self._place, device)
        """By the name of the module that they belong to; none where nothing is dropped."""

    @property
    def steps_an_epoch(self) -> int:
        return math.ceil(len(self.samples) / self.recipe.samples_a_step)

    @property
    def num_steps(self) -> int:
        return self.steps_an_epoch * self.recipe.epochs

    @property
    def done(self) -> bool:
        return self.stopped or self.step >= self.num_steps

    @property
    def at_epoch_end(self) -> bool:
        return self.step > 0 and self.step % self.steps_an_epoch == 0

    def next_samples(self) -> list[TokenisedSample]:
        """The samples of the coming step."""
        within = self.step % self.steps_an_epoch
        if within == 0:
            self._order = epoch_order(self._lengths, self.recipe.samples_a_step, self._orders)
        start = within * self.recipe.samples_a_step
        return [self.samples[place] for place in self._order[start : start + self.recipe.samples_a_step]]

    def next_bad(self) -> list[int]:
        """The places of the bad answers that fall on the coming step."""
        return places_of_step(self.num_bad, self.step, self.steps_an_epoch, self._place.seed)

    @contextmanager
    def without_dropout(self) -> Iterator[None]:
        """Nothing is dropped inside: what is compared with the beginning must not differ from it by chance."""
        self._place.drops = False
        try:
            yield
        finally:
            self._place.drops = True

    def begin_part(self, part: int) -> None:
        """Say which part of the step this thread computes next, for the random numbers."""
        self._place.step, self._place.part = self.step, part

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        """Those of a share of the step's loss, for `add`; several threads may make theirs at once."""
        return torch.autograd.grad(loss, tuple(self.weights.values()), allow_unused=True, materialize_grads=True)

    def add(self, gradients: tuple[Tensor, ...]) -> None:
        """Add a part's gradients to those of the coming step. The order of the calls shows in the last bits."""
        for weight, gradient in zip(self.weights.values(), gradients, strict=True):
            # The fused optimiser takes both as they lie in memory: a transposed view would be read in another order.
            laid = gradient.contiguous()
            weight.grad = laid if weight.grad is None else weight.grad.add_(laid)

    def learn(self, loss: float, preference_loss: float | None) -> None:
        """Take the step for which the gradients lie ready; None where no bad answer fell on it.

        Raises:
            ModelError: a loss or a gradient is no number any more.
        """
        for value in (loss, preference_loss or 0.0):
            self._ensure_finite("loss", value)
        # Infinite gradients of a finite loss would make the weights NaN, and show a step later or, at the last, never.
        self._ensure_finite("gradients' norm", float(nn.utils.clip_grad_norm_(self.weights.values(), MAX_NORM)))
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step, self.num_steps)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.losses.append((self.step, loss))
        if preference_loss is not None:
            self.preference_losses.append((self.step, preference_loss))

    def _ensure_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise ModelError(
                f"the {what} became {value} at step {self.step + 1} of {self.num_steps}",
                fix=f"Lower the learning rate (now {self.recipe.learning_rate:g}) or look for broken samples.",
            )

    def tensors(self) -> dict[str, Tensor]:
        """A copy of the weights as they are now, on the CPU, for an adapter's file."""
        return {name: weight.detach().to("cpu", copy=True) for name, weight in sorted(self.weights.items())}

    def go_on_from(self, start: Mapping[str, Tensor]) -> None:
        """Put another adapter's weights in the place of the fresh ones.

        Raises:
            ModelError: they are of other modules or another rank.
        """
        fresh = {name: weight.shape for name, weight in self.weights.items()}
        if fresh != {name: weight.shape for name, weight in start.items()}:
            raise ModelError(
                "the adapter to go on from has other modules or another rank than this recipe",
                fix="Set recipe.start to base, or keep r and target_modules as they were.",
            )
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(start[name])

    def note_holdout(self, loss: float | None) -> None:
        """Weigh an epoch by its holdout loss: the best weights are remembered, patience may come to its end."""
        if loss is None:
            return
        if self.best is None or loss < self.best[0]:
            self.best = (loss, {name: weight.detach().clone() for name, weight in self.weights.items()})
            self.epochs_without_better = 0
        else:
            self.epochs_without_better += 1
        patience = self.recipe.early_stopping
        self.stopped = patience is not None and self.epochs_without_better >= patience

    def take_best(self) -> float | None:
        """Put the best weights back; their holdout loss, None where nobody looked for them."""
        if self.best is None:
            return None
        loss, weights = self.best
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])
        return loss

    def train_loss(self) -> float:
        """Mean loss of the last epoch, in nats per learned token."""
        last = [loss for _, loss in self.losses[-self.steps_an_epoch :]]
        return sum(last) / len(last)

    def checkpoint(self) -> Checkpoint:
        """Everything that `restore` needs to go on as if nothing had happened."""
        tensors: dict[str, Tensor] = {
            "random": self._orders.get_state(),
            "order": torch.tensor(self._order, dtype=torch.int64),
        }
        for name, weight in self.weights.items():
            state = self._optimiser.state[weight]
            tensors[f"weight/{name}"] = weight.detach().cpu()
            tensors[f"mean/{name}"] = state["exp_avg"].cpu()
            tensors[f"square/{name}"] = state["exp_avg_sq"].cpu()
            if self.best is not None:
                tensors[f"best/{name}"] = self.best[1][name].cpu()
        if self.reference is not None:
            tensors["reference"] = self.reference.cpu()
        facts = {
            "losses": self.losses,
            "preference_losses": self.preference_losses,
            "holdout_before": self.holdout_before,
            "best": self.best[0] if self.best else None,
            "epochs_without_better": self.epochs_without_better,
            "stopped": self.stopped,
        }
        return Checkpoint(step=self.step, tensors=tensors, facts=facts)

    def restore(self, saved: Checkpoint) -> None:
        """Go back to where a checkpoint of the same job was made."""
        tensors, facts = saved.tensors, saved.facts
        self.step = saved.step
        self.losses = [(int(step), float(loss)) for step, loss in facts["losses"]]
        self.preference_losses = [(int(step), float(loss)) for step, loss in facts["preference_losses"]]
        self.holdout_before = facts["holdout_before"]
        self.epochs_without_better = facts["epochs_without_better"]
        self.stopped = facts["stopped"]
        self._order = tensors["order"].tolist()
        self.reference = tensors.get("reference")
        self._orders.set_state(tensors["random"])
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(tensors[f"weight/{name}"])
                self._optimiser.state[weight] = {
                    "step": torch.tensor(float(saved.step), device=weight.device),
                    "exp_avg": tensors[f"mean/{name}"].to(weight.device),
                    "exp_avg_sq": tensors[f"square/{name}"].to(weight.device),
                }
        if facts["best"] is not None:
            device = next(iter(self.weights.values())).device
            best = {name: tensors[f"best/{name}"].to(device) for name in self.weights}
            self.best = (facts["best"], best)


def _weights(model: Any, adapter: str) -> dict[str, Tensor]:
    """The adapter's parameters in the model's order, by the names that they have in PEFT's files."""
    return {
        # DoRA's lengths are a module's in memory, and none's in a file.
        name.replace(f".{adapter}.", ".").replace("_magnitude_vector.weight", "_magnitude_vector"): weight
        for name, weight in model.named_parameters()
        if f".{adapter}." in name and weight.requires_grad
    }


class _Place:
    """Where a learner is, as far as its random numbers go."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.step = 0
        self.drops = True
        self._own = threading.local()
        self._newest = 0

    @property
    def part(self) -> int:
        """The part that this thread began; in a thread that began none, a GPU's backward pass, the newest."""
        number: int = getattr(self._own, "part", self._newest)
        return number

    @part.setter
    def part(self, number: int) -> None:
        self._own.part = self._newest = number


class PlacedDropout(nn.Module):
    """Dropout whose mask follows from seed, step, part of the step, its own number and its shape alone.

    So one adapter's random numbers never depend on another's, a resumed training draws the same ones, and activations
    that are computed a second time are dropped as they were the first time.
    """

    def __init__(self, share: float, number: int, place: _Place, device: str) -> None:
        super().__init__()
        self._kept = 1 - share
        self._number = number
        self._place = place
        self._device = device

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self._place.drops:
            return values
        return values * self.drawn(torch.empty_like(values))

    def drawn(self, empty: Tensor) -> Tensor:
        """The mask for values of this shape at this place, 0 or what the others are scaled by, drawn into `empty`."""
        place = self._place
        # The shape, since a part's common prefix and the rest of its rows come through here one after the other.
        text = f"{place.seed}/{place.step}/{place.part}/{self._number}/{tuple(empty.shape)}"
        random = torch.Generator(self._device).manual_seed(zlib.crc32(text.encode()))
        return empty.bernoulli_(self._kept, generator=random).div_(self._kept)


def _place_dropout(model: Any, adapter: str, place: _Place, device: str) -> dict[str, PlacedDropout]:
    having = (named for named in model.named_modules() if adapter in getattr(named[1], "lora_dropout", ()))
    placed = {}
    for number, (name, module) in enumerate(having):
        dropout = module.lora_dropout[adapter]
        if isinstance(dropout, nn.Dropout):
            placed[name] = module.lora_dropout[adapter] = PlacedDropout(dropout.p, number, place, device)
    return placed
