"""The optimisation itself: a LoRA adapter over a frozen base.

A plain torch loop, since it must stop and go on at any step with the same bits, and hold several adapters at once;
the numbers are those of transformers' `Trainer` (AdamW, clipping to 1, loss per learned token of a whole step).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import set_seed

from nabi.errors import ModelError
from nabi.training.base_model import LoadedBase
from nabi.training.checkpoint import Checkpoints
from nabi.training.learner import Learner
from nabi.training.loss import collate, mean_loss, token_losses
from nabi.training.preference import Won, judge, log_probabilities, num_learned, preference_losses
from nabi.training.progress import Progress
from nabi.training.recipe import Recipe, lora_config
from nabi.training.side_by_side import SideBySide, side_by_side
from nabi.training.tokenise import TokenisedBadAnswer, TokenisedSample

# On rows this short plain attention trains 1.2 times as fast as the fused kernel, whose backward pass is slow on a
# CPU; on long ones its memory grows with the square of the length.
_SHORT = 512
_KNOWN_MODULES = "Set recipe.target_modules to all-linear, or to modules that the base has."
ADAPTER = "default"
"""The name that an adapter has inside PEFT's model."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one adapter is to be trained on, and how.

    Args:
        train: samples to learn from.
        holdout: samples to measure on; may be empty.
        bad: answers marked bad. A step's loss is the mean per learned token of its samples, and the recipe's
            `preference_weight` times the mean preference loss of the bad answers that fall on it.
        recipe: everything that shapes the adapter, seed apart.
        start: an adapter's weights to go on from, under PEFT's names; None begins afresh.
        seed: of weights, orders and dropout.
        rows: samples computed at once (of a bad answer and its better one always both). Fewer need less memory and
            give the same step.
        checkpoints: of this training alone.
        on_progress: told of every step.
    """

    train: Sequence[TokenisedSample]
    holdout: Sequence[TokenisedSample]
    bad: Sequence[TokenisedBadAnswer]
    recipe: Recipe
    start: Mapping[str, Tensor] | None
    seed: int
    rows: int
    checkpoints: Checkpoints
    on_progress: Progress

    @property
    def longest(self) -> int:
        """Tokens of the longest row that is learned from."""
        both = [row for answer in self.bad for row in (answer.bad, answer.better) if row is not None]
        return max(len(row.input_ids) for row in (*self.train, *both))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained adapter, and what the training measured (losses in nats per learned token).

    `tensors` are its weights under PEFT's names, `config` is PEFT's configuration. `preference_losses` are of the steps
    on which bad answers fell; `won_before` and `won_after` are None without any.
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    losses: tuple[tuple[int, float], ...]
    preference_losses: tuple[tuple[int, float], ...]
    won_before: Won | None
    won_after: Won | None
    train_loss: float
    holdout_before: float | None
    holdout_after: float | None
    num_steps: int
    resumed_at: int


def fit(base: LoadedBase, task: Task) -> Fitted:
    """Train an adapter over `base`, whose weights stay as they are.

    The same base, task, precision and number of threads give the same bits on a CPU, however often the training was
    killed between.

    Raises:
        ModelError: the base has none of the target modules, the weights to go on from do not fit the recipe, or the
            loss is no number any more.
    """
    prepare(base, recompute=task.recipe.recompute, longest=task.longest)
    model, learner = put_adapter(base, task)
    training = Training(model, base, learner, task)
    training.begin()
    model.train()
    with side_by_side(base.device, task.rows) as crew:
        while not learner.done:
            training.step(_gradients(model, base, learner, task.rows, crew))
    fitted = training.end()
    model.unload()
    return fitted


class Training:
    """One adapter on its way from its first step to its last: everything but the gradients of its samples.

    Args:
        model: in which this adapter, and no other, answers whenever a method here is called.
        base: that the model was made of.
        learner: of this adapter.
        task: of this adapter.
    """

    def __init__(self, model: Any, base: LoadedBase, learner: Learner, task: Task) -> None:
        self.learner = learner
        self.task = task
        self._model = model
        self._base = base
        self._resumed_at = 0

    def begin(self) -> None:
        """Measure where it begins, or go back to the newest checkpoint."""
        learner, saved = self.learner, self.task.checkpoints.newest()
        if saved is None:
            learner.holdout_before = self._holdout_loss()
            learner.reference = self._thinks()
            return
        learner.restore(saved)
        self._resumed_at = saved.step
        told = f"goes on after step {learner.step}/{learner.num_steps}"
        self.task.on_progress(learner.step / learner.num_steps, told)

    def step(self, loss: float) -> None:
        """Take the step whose samples have this loss, and whose gradients the learner has been given.

        Raises:
            ModelError: the loss is no number any more.
        """
        learner, checkpoints = self.learner, self.task.checkpoints
        learner.learn(loss, self._preference_gradients())
        if learner.at_epoch_end and learner.recipe.early_stopping is not None:
            learner.note_holdout(self._holdout_loss())
        if not learner.done and checkpoints.due(learner.step):
            checkpoints.save(learner.checkpoint())
        told = f"step {learner.step}/{learner.num_steps}, loss {loss:.2f}"
        self.task.on_progress(learner.step / learner.num_steps, told)

    def end(self) -> Fitted:
        """The adapter with its best weights."""
        learner, bad = self.learner, self.task.bad
        best = learner.take_best()
        then, now = learner.reference, self._thinks()
        return Fitted(
            tensors=learner.tensors(),
            config=learner.config,
            losses=tuple(learner.losses),
            preference_losses=tuple(learner.preference_losses),
            won_before=None if then is None else judge(bad, then, then),
            won_after=None if then is None or now is None else judge(bad, then, now),
            train_loss=learner.train_loss(),
            holdout_before=learner.holdout_before,
            holdout_after=self._holdout_loss() if best is None else best,
            num_steps=learner.step,
            resumed_at=self._resumed_at,
        )

    def _preference_gradients(self) -> float | None:
        """Add those of the bad answers that fall on the coming step; their mean preference loss, None without any."""
        learner, base = self.learner, self._base
        places = learner.next_bad()
        if not places or learner.reference is None:
            return None
        recipe, total = learner.recipe, 0.0
        with learner.without_dropout():
            for some in _pieces(places, self.task.rows):
                answers = [self.task.bad[place] for place in some]
                then = learner.reference[some].to(base.device)
                with multiplying(base):
                    now = self._log_probabilities(answers)
                paired = torch.tensor([answer.better is not None for answer in answers], device=base.device)
                share = preference_losses(now - then, paired, recipe.preference_beta).sum() / len(places)
                (recipe.preference_weight * share).backward()  # type: ignore[no-untyped-call]  # torch has no type
                total += float(share.detach())
        return total

    def _thinks(self) -> Tensor | None:
        """Log-probabilities of the bad answers and the better ones (see `log_probabilities`); None without any."""
        bad, was_training = self.task.bad, self._model.training
        if not bad:
            return None
        self._model.eval()
        # Multiplied as in the steps: only what was learned may differ from it later.
        with torch.no_grad(), multiplying(self._base):
            pieces = _pieces(range(len(bad)), self.task.rows)
            parts = [self._log_probabilities([bad[place] for place in some]).cpu() for some in pieces]
        self._model.train(was_training)
        return torch.cat(parts)

    def _log_probabilities(self, answers: Sequence[TokenisedBadAnswer]) -> Tensor:
        base = self._base
        return log_probabilities(self._model, answers, pad_id=base.tokenizer.pad_token_id, device=base.device)

    def _holdout_loss(self) -> float | None:
        if not self.task.holdout:
            return None
        base, rows = self._base, self.task.rows
        pad_id = base.tokenizer.pad_token_id
        return mean_loss(self._model, self.task.holdout, pad_id=pad_id, batch_size=rows, device=base.device)


def prepare(base: LoadedBase, *, recompute: bool, longest: int) -> None:
    """Set the base up for samples of so many tokens, whatever a training before this one left switched on."""
    if base.device == "cuda":
        # Else attention's backward pass adds up in the order in which its blocks happen to end. What has no such form
        # is only warned of.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # not in its stubs
    base.model.set_attn_implementation("eager" if base.device == "cpu" and longest <= _SHORT else "sdpa")
    if recompute:
        base.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    elif base.model.is_activation_checkpointing:
        base.model.activation_checkpointing_disable()


def put_adapter(base: LoadedBase, task: Task) -> tuple[Any, Learner]:
    """The base with the task's adapter on it, as PEFT makes it, and the learner of that adapter.

    Raises:
        ModelError: the base has none of the target modules, or the weights to go on from do not fit the recipe.
    """
    recipe = task.recipe
    if task.start is not None:
        # What is known already needs no steps as large as those that learned it.
        recipe = recipe.model_copy(update={"learning_rate": recipe.learning_rate * recipe.continued_rate})
    set_seed(task.seed)
    model = _with_adapter(base, recipe)
    learner = Learner(model, ADAPTER, task.train, recipe, num_bad=len(task.bad), seed=task.seed, device=base.device)
    if task.start is not None:
        try:
            learner.go_on_from(task.start)
        except ModelError:
            model.unload()
            raise
    return model, learner


def multiplying(base: LoadedBase) -> torch.autocast:
    """The context in which a training over the base computes its losses."""
    return torch.autocast(base.device, torch.bfloat16, enabled=base.precision == "bfloat16")


def parts_of_step(learner: Learner, rows: int, crew: SideBySide) -> list[list[list[TokenisedSample]]]:
    """The coming step's samples, `rows` at once, and of those the parts that `crew` computes side by side."""
    samples = learner.next_samples()
    pieces = (samples[start : start + rows] for start in range(0, len(samples), rows))
    return [crew.parts(piece, lambda sample: len(sample.input_ids)) for piece in pieces]


def _gradients(model: Any, base: LoadedBase, learner: Learner, rows: int, crew: SideBySide) -> float:
    """Make the gradients of the coming step's mean loss per learned token, `rows` samples at once; the loss itself."""
    pieces = parts_of_step(learner, rows, crew)
    num_tokens = sum(num_learned(sample) for piece in pieces for part in piece for sample in part)

    def compute(part: tuple[int, list[TokenisedSample]]) -> tuple[Tensor, tuple[Tensor, ...]]:
        number, some = part
        learner.begin_part(number)
        batch = collate([sample.row for sample in some], base.tokenizer.pad_token_id)
        with multiplying(base):
            share = token_losses(model, on_device(base, batch)).sum() / num_tokens
        return share.detach(), learner.gradients(share)

    loss = torch.zeros((), device=base.device)
    number = 0
    for piece in pieces:
        for share, gradients in crew.map(compute, list(enumerate(piece, number))):
            loss += share
            learner.add(gradients)
        number += len(piece)
    return float(loss)


def _pieces(places: Sequence[int], rows: int) -> Iterator[Sequence[int]]:
    """Places of bad answers that are computed at once: each may be two rows."""
    size = max(1, rows // 2)
    return (places[start : start + size] for start in range(0, len(places), size))


def on_device(base: LoadedBase, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The batch where the base is."""
    return {name: tensor.to(base.device) for name, tensor in batch.items()}


def _with_adapter(base: LoadedBase, recipe: Recipe) -> Any:
    from peft import get_peft_model

    # PEFT leaves out those that it does not find, as long as it finds one.
    wanted = () if recipe.target_modules == "all-linear" else recipe.target_modules
    there = [f".{name}" for name, _ in base.model.named_modules()]
    if missing := [name for name in wanted if not any(path.endswith(f".{name}") for path in there)]:
        raise ModelError(f"there are no modules {', '.join(missing)}", where=base.ref.name, fix=_KNOWN_MODULES)
    try:
        return get_peft_model(base.model, lora_config(recipe))
    except ValueError as error:
        raise ModelError(
            f"no adapter can be put on the modules {recipe.target_modules!r} ({error})",
            where=base.ref.name,
            fix=_KNOWN_MODULES,
        ) from error
