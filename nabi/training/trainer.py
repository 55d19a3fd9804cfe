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
from nabi.training.preference import Won, judge, log_probabilities, preference_losses
from nabi.training.progress import Progress
from nabi.training.recipe import Recipe, lora_config
from nabi.training.side_by_side import SideBySide, side_by_side
from nabi.training.tokenise import IGNORED, TokenisedBadAnswer, TokenisedSample

# On rows this short plain attention trains 1.2 times as fast as the fused kernel, whose backward pass is slow on a
# CPU; on long ones its memory grows with the square of the length.
_SHORT = 512
_ADAPTER = "default"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained adapter still in memory, and what the training measured (losses in nats per learned token).

    `preference_losses` are of the steps on which bad answers fell; `won_before` and `won_after` are None without any.
    """

    model: Any
    losses: tuple[tuple[int, float], ...]
    preference_losses: tuple[tuple[int, float], ...]
    won_before: Won | None
    won_after: Won | None
    train_loss: float
    holdout_before: float | None
    holdout_after: float | None
    num_steps: int
    resumed_at: int


def fit(
    base: LoadedBase,
    train: Sequence[TokenisedSample],
    holdout: Sequence[TokenisedSample],
    recipe: Recipe,
    *,
    bad: Sequence[TokenisedBadAnswer],
    start: Mapping[str, Tensor] | None,
    seed: int,
    rows: int,
    checkpoints: Checkpoints,
    on_progress: Progress,
) -> Fitted:
    """Train an adapter over `base`, whose weights stay as they are.

    A step's loss is the mean per learned token of its samples, and `preference_weight` times the mean preference loss
    of the `bad` answers that fall on it. `start` holds an adapter's weights to go on from, under PEFT's names; None
    begins afresh. `rows` are computed at once (of a bad answer and its better one always both); fewer rows need less
    memory and give the same step. The same base, start, samples, recipe, seed, rows,
    precision and number of threads give the same bits on a CPU, however often the training was killed between.

    Raises:
        ModelError: the base has none of the target modules, `start` does not fit the recipe, or the loss is no
            number any more.
    """
    if start is not None:
        # What is known already needs no steps as large as those that learned it.
        recipe = recipe.model_copy(update={"learning_rate": recipe.learning_rate * recipe.continued_rate})
    both = [row for answer in bad for row in (answer.bad, answer.better) if row is not None]
    _prepare(base, recipe, max(len(sample.input_ids) for sample in (*train, *both)))
    set_seed(seed)
    model = _with_adapter(base, recipe)
    if start is not None:
        _go_on_from(model, start)
    learner = Learner(model, _ADAPTER, train, recipe, num_bad=len(bad), seed=seed, device=base.device)
    saved = checkpoints.newest()
    if saved is None:
        learner.holdout_before = _holdout_loss(model, base, holdout, rows)
        learner.reference = _thinks(model, base, bad, rows)
    else:
        learner.restore(saved)
        on_progress(learner.step / learner.num_steps, f"goes on after step {learner.step}/{learner.num_steps}")
    _train(model, base, learner, bad, holdout, rows=rows, checkpoints=checkpoints, on_progress=on_progress)
    best = learner.take_best()
    then, now = learner.reference, _thinks(model, base, bad, rows)
    return Fitted(
        model=model,
        losses=tuple(learner.losses),
        preference_losses=tuple(learner.preference_losses),
        won_before=None if then is None else judge(bad, then, then),
        won_after=None if then is None or now is None else judge(bad, then, now),
        train_loss=learner.train_loss(),
        holdout_before=learner.holdout_before,
        holdout_after=_holdout_loss(model, base, holdout, rows) if best is None else best,
        num_steps=learner.step,
        resumed_at=saved.step if saved else 0,
    )


def _prepare(base: LoadedBase, recipe: Recipe, longest: int) -> None:
    """Set the base up for these samples, whatever a training before this one left switched on."""
    base.model.set_attn_implementation("eager" if base.device == "cpu" and longest <= _SHORT else "sdpa")
    if recipe.recompute:
        base.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    elif base.model.is_activation_checkpointing:
        base.model.activation_checkpointing_disable()


def _train(
    model: Any,
    base: LoadedBase,
    learner: Learner,
    bad: Sequence[TokenisedBadAnswer],
    holdout: Sequence[TokenisedSample],
    *,
    rows: int,
    checkpoints: Checkpoints,
    on_progress: Progress,
) -> None:
    model.train()
    with side_by_side(base.device, rows) as crew:
        while not learner.done:
            loss = _gradients(model, base, learner, rows, crew)
            preference_loss = _preference_gradients(model, base, learner, bad, rows) if bad else None
            learner.learn(loss, preference_loss)
            if learner.at_epoch_end and learner.recipe.early_stopping is not None:
                learner.note_holdout(_holdout_loss(model, base, holdout, rows))
            if not learner.done and checkpoints.due(learner.step):
                checkpoints.save(learner.checkpoint())
            on_progress(learner.step / learner.num_steps, f"step {learner.step}/{learner.num_steps}, loss {loss:.2f}")


def _gradients(model: Any, base: LoadedBase, learner: Learner, rows: int, crew: SideBySide) -> float:
    """Make the gradients of the coming step's mean loss per learned token, `rows` samples at once; the loss itself."""
    samples = learner.next_samples()
    num_learned = sum(label != IGNORED for sample in samples for label in sample.labels[1:])

    def compute(part: tuple[int, list[TokenisedSample]]) -> tuple[Tensor, tuple[Tensor, ...]]:
        number, some = part
        learner.begin_part(number)
        batch = collate([_row(sample) for sample in some], base.tokenizer.pad_token_id)
        with torch.autocast(base.device, torch.bfloat16, enabled=base.precision == "bfloat16"):
            share = token_losses(model, _on(base.device, batch)).sum() / num_learned
        return share.detach(), learner.gradients(share)

    loss = torch.zeros((), device=base.device)
    number = 0
    for start in range(0, len(samples), rows):
        parts = crew.parts(samples[start : start + rows], lambda sample: len(sample.input_ids))
        for share, gradients in crew.map(compute, list(enumerate(parts, number))):
            loss += share
            learner.add(gradients)
        number += len(parts)
    return float(loss)


def _preference_gradients(
    model: Any, base: LoadedBase, learner: Learner, bad: Sequence[TokenisedBadAnswer], rows: int
) -> float | None:
    """Add those of the bad answers that fall on the coming step; their mean preference loss, None without any."""
    places = learner.next_bad()
    if not places or learner.reference is None:
        return None
    recipe, total = learner.recipe, 0.0
    with learner.without_dropout():
        for some in _pieces(places, rows):
            answers = [bad[place] for place in some]
            then = learner.reference[some].to(base.device)
            with torch.autocast(base.device, torch.bfloat16, enabled=base.precision == "bfloat16"):
                now = log_probabilities(model, answers, pad_id=base.tokenizer.pad_token_id, device=base.device)
            paired = torch.tensor([answer.better is not None for answer in answers], device=base.device)
            share = preference_losses(now - then, paired, recipe.preference_beta).sum() / len(places)
            (recipe.preference_weight * share).backward()  # type: ignore[no-untyped-call]  # torch does not type it
            total += float(share.detach())
    return total


def _thinks(model: Any, base: LoadedBase, bad: Sequence[TokenisedBadAnswer], rows: int) -> Tensor | None:
    """Log-probabilities of the bad answers and the better ones (see `log_probabilities`); None without any."""
    if not bad:
        return None
    was_training = model.training
    model.eval()
    with torch.no_grad():
        parts = [
            log_probabilities(
                model, [bad[place] for place in some], pad_id=base.tokenizer.pad_token_id, device=base.device
            ).cpu()
            for some in _pieces(range(len(bad)), rows)
        ]
    model.train(was_training)
    return torch.cat(parts)


def _pieces(places: Sequence[int], rows: int) -> Iterator[Sequence[int]]:
    """Places of bad answers that are computed at once: each may be two rows."""
    size = max(1, rows // 2)
    return (places[start : start + size] for start in range(0, len(places), size))


def _row(sample: TokenisedSample) -> dict[str, list[int]]:
    return {"input_ids": sample.input_ids, "labels": sample.labels}


def _on(device: str, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


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


def _holdout_loss(model: Any, base: LoadedBase, holdout: Sequence[TokenisedSample], rows: int) -> float | None:
    if not holdout:
        return None
    return mean_loss(model, holdout, pad_id=base.tokenizer.pad_token_id, batch_size=rows, device=base.device)


def is_out_of_memory(error: BaseException) -> bool:
    """True for a GPU or a CPU that could not give the memory asked for."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
