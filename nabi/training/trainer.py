"""The optimisation itself: a LoRA adapter over a frozen base, by transformers' `Trainer`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, set_seed

from nabi.errors import ModelError, TransientError
from nabi.training.base_model import LoadedBase, precision
from nabi.training.loss import collate, mean_loss, token_losses
from nabi.training.progress import Progress
from nabi.training.recipe import Recipe, lora_config, training_arguments
from nabi.training.tokenise import TokenisedSample

# On rows this short plain attention trains 1.2 times as fast as the fused kernel, whose backward pass is slow on a
# CPU; on long ones its memory grows with the square of the length.
_SHORT = 512


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained adapter still in memory, and what the training measured (losses in nats per learned token)."""

    model: Any
    losses: tuple[tuple[int, float], ...]
    train_loss: float
    holdout_before: float | None
    holdout_after: float | None
    num_steps: int


class _AnswerTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types
    """A `Trainer` whose loss is the mean over the learned tokens of all batches of one step."""

    def __init__(self, *, autocast: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._autocast = autocast
        # Both make Trainer count the learned tokens of an accumulated step and hand the number over.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        with self._autocast:
            loss: Tensor = token_losses(model, inputs).sum() / num_items_in_batch
        return loss


class _Watcher(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Collects the loss curve, reports each step, and stops a training that has gone astray."""

    def __init__(self, on_progress: Progress) -> None:
        self.losses: list[tuple[int, float]] = []
        self._on_progress = on_progress

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ModelError(
                f"the loss became {loss} at step {state.global_step} of {state.max_steps}",
                fix=f"Lower the learning rate (now {args.learning_rate:g}) or look for broken samples.",
            )
        self.losses.append((state.global_step, loss))
        share = state.global_step / state.max_steps
        self._on_progress(share, f"step {state.global_step}/{state.max_steps}, loss {loss:.2f}")


def fit(
    base: LoadedBase,
    train: Sequence[TokenisedSample],
    holdout: Sequence[TokenisedSample],
    recipe: Recipe,
    *,
    start: Mapping[str, Tensor] | None,
    seed: int,
    work_dir: Path,
    on_progress: Progress,
) -> Fitted:
    """Train an adapter over `base`, whose weights stay as they are.

    `start` holds an adapter's weights to go on from, under PEFT's names; None begins afresh. The same base, start,
    samples, recipe, seed, precision and number of threads give the same bits on a CPU.

    Raises:
        ModelError: the base has none of the target modules, `start` does not fit the recipe, or the loss is no
            number any more.
        TransientError: the training was stopped from outside before its last step.
    """
    if base.device == "cpu" and max(len(sample.input_ids) for sample in train) <= _SHORT:
        base.model.set_attn_implementation("eager")
    set_seed(seed)
    model = _with_adapter(base, recipe)
    if start is not None:
        _go_on_from(model, start)
    before = _holdout_loss(model, base, holdout, recipe)
    set_seed(seed)
    watcher = _Watcher(on_progress)
    trainer = _AnswerTrainer(
        autocast=torch.autocast(base.device, torch.bfloat16, enabled=precision(base.device) == "bfloat16"),
        model=model,
        args=training_arguments(recipe, seed=seed, device=base.device, work_dir=work_dir),
        train_dataset=[{"input_ids": sample.input_ids, "labels": sample.labels} for sample in train],
        data_collator=partial(collate, pad_id=base.tokenizer.pad_token_id),
        callbacks=[watcher],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    state = trainer.state
    # After a SIGTERM `train()` returns as if it had finished.
    if state.global_step < state.max_steps:
        raise TransientError(
            f"the training was stopped at step {state.global_step} of {state.max_steps}", fix="Start it again."
        )
    last_epoch = [loss for _, loss in watcher.losses[-max(1, len(watcher.losses) // recipe.epochs) :]]
    return Fitted(
        model=model,
        losses=tuple(watcher.losses),
        train_loss=sum(last_epoch) / len(last_epoch),
        holdout_before=before,
        holdout_after=_holdout_loss(model, base, holdout, recipe),
        num_steps=state.global_step,
    )


def adapter_tensors(model: Any) -> dict[str, Tensor]:
    """The adapter's weights under PEFT's names, on the CPU; the base's are not among them."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}


def _with_adapter(base: LoadedBase, recipe: Recipe) -> Any:
    from peft import get_peft_model

    try:
        return get_peft_model(base.model, lora_config(recipe))
    except ValueError as error:
        raise ModelError(
            f"no adapter can be put on the modules {recipe.target_modules!r} ({error})",
            where=base.ref.name,
            fix="Set recipe.target_modules to all-linear, or to modules that the base has.",
        ) from error


def _go_on_from(model: Any, start: Mapping[str, Tensor]) -> None:
    from peft import set_peft_model_state_dict

    fresh = adapter_tensors(model)
    if {name: tensor.shape for name, tensor in fresh.items()} != {n: t.shape for n, t in start.items()}:
        raise ModelError(
            "the adapter to go on from has other modules or another rank than this recipe",
            fix="Set recipe.start to base, or keep r and target_modules as they were.",
        )
    set_peft_model_state_dict(model, dict(start))


def _holdout_loss(model: Any, base: LoadedBase, holdout: Sequence[TokenisedSample], recipe: Recipe) -> float | None:
    if not holdout:
        return None
    return mean_loss(
        model, holdout, pad_id=base.tokenizer.pad_token_id, batch_size=recipe.batch_size, device=base.device
    )


def is_out_of_memory(error: BaseException) -> bool:
    """True for a GPU or a CPU that could not give the memory asked for."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
