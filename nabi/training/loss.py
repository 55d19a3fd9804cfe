"""The loss of what the assistant says, token by token, and batches to compute it on.

Training and the holdout loss use this one function; the engine that serves judges likelihoods on its own rows, held to
this one by a test. Logits are made only where a token is learned: with a vocabulary of 150,000 the logits of a whole
batch would be the largest thing in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from nabi.training import memory
from nabi.training.tokenise import IGNORED, TokenisedSample

MAX_LOGITS = memory.MAX_LOGITS
"""Beyond so many scores they are made in chunks."""

# A shorter prefix is not worth a pass of its own.
_LEAST_SHARED = 16

# Lengths are rounded up to this: fewer shapes, and the memory allocator's cache stays small.
_MULTIPLE = 8


def collate(samples: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Tensor]:
    """Right-padded `input_ids`, `attention_mask` and `labels`, each (batch, longest rounded up to 8)."""
    longest = max(len(sample["input_ids"]) for sample in samples)
    width = -(-longest // _MULTIPLE) * _MULTIPLE
    shape = (len(samples), width)
    ids = torch.full(shape, pad_id)
    mask = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED)
    for row, sample in enumerate(samples):
        length = len(sample["input_ids"])
        ids[row, :length] = torch.tensor(sample["input_ids"])
        mask[row, :length] = 1
        labels[row, :length] = torch.tensor(sample["labels"])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def token_losses(model: Any, batch: dict[str, Tensor], *, whole_rows: bool = False) -> Tensor:
    """Cross entropy in nats of every learned token of a batch, row by row: shape (number of labels,), float32.

    The tokens with which all rows begin, a persona's system prompt, are computed once for all of them, unless
    `whole_rows` are asked for. Where the scores of all learned tokens over the vocabulary would be large, they are made
    a chunk at a time, and again in the backward pass. The result is the same either way.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    shared = 0 if whole_rows else computed_once(model, batch)
    targets = batch["labels"][:, shared + 1 :]
    learned = targets != IGNORED
    # The logits at one place speak of the next token, so the last place never counts.
    keep = functional.pad(learned, (0, 1))
    chunk = max(1, MAX_LOGITS // int(inner.config.vocab_size))
    rest = {
        "input_ids": batch["input_ids"][:, shared:],
        "attention_mask": batch["attention_mask"],
        "past_key_values": _prefix_states(inner, batch["input_ids"], shared) if shared else None,
        "use_cache": shared > 0,
    }
    if int(learned.sum()) <= chunk or _changes_logits(inner.config):
        logits = inner(**rest, logits_to_keep=keep).logits
        return functional.cross_entropy(logits.float(), targets[learned], reduction="none")
    states, head = inner.base_model(**rest).last_hidden_state[keep], inner.get_output_embeddings()
    parts = zip(torch.split(states, chunk), torch.split(targets[learned], chunk), strict=True)
    return torch.cat([checkpoint(_head_loss, head, some, wanted, use_reentrant=False) for some, wanted in parts])


def computed_once(model: Any, batch: dict[str, Tensor]) -> int:
    """How many tokens at the start of a batch `token_losses` computes once for all rows."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return shared_prefix(batch) if _may_share(inner) else 0


def shared_prefix(batch: dict[str, Tensor]) -> int:
    """How many tokens at the start all rows have in common, before anything is learned; 0 if too few to be worth it."""
    ids, labels = batch["input_ids"], batch["labels"]
    if len(ids) < 2:
        return 0
    common = _leading((ids == ids[0]).all(dim=0))
    # The last place before the first learned token already speaks of it.
    unlearned = _leading((labels == IGNORED).all(dim=0)) - 1
    length = min(common, unlearned)
    return length if length >= _LEAST_SHARED else 0


def _leading(flags: Tensor) -> int:
    """How many of the flags, from the first on, are set without a gap."""
    return int(flags.long().cumprod(dim=0).sum())


def _may_share(model: Any) -> bool:
    """Whether keys and values of a prefix can stand for the prefix itself.

    Not in layers that see a window or keep a state of another kind, and not while activations are computed twice,
    where transformers drops the keys and values that it is given.
    """
    kinds = getattr(model.config, "layer_types", None) or ["unknown"]
    recomputed = model.training and getattr(model, "is_activation_checkpointing", False)
    return set(kinds) == {"full_attention"} and not recomputed


def _prefix_states(model: Any, ids: Tensor, length: int) -> DynamicCache:
    """Keys and values of the first `length` tokens of row 0, seen by every row; gradients flow through them."""
    cache = DynamicCache()
    model.base_model(input_ids=ids[:1, :length], past_key_values=cache, use_cache=True)
    for layer in cache.layers:
        layer.keys, layer.values = (states.expand(len(ids), -1, -1, -1) for states in (layer.keys, layer.values))
    return cache


def _head_loss(head: Any, states: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(head(states).float(), targets, reduction="none")


def _changes_logits(config: Any) -> bool:
    """Whether the model does more to its scores than its output layer, so that only the model itself can make them."""
    names = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
    return any(getattr(config, name, None) for name in names)


def mean_loss(model: Any, samples: Sequence[TokenisedSample], *, pad_id: int, batch_size: int, device: str) -> float:
    """Mean loss per learned token over a dataset, without dropout; in nats."""
    total, count = 0.0, 0
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for batch in _batches(samples, pad_id, batch_size, device):
            losses = token_losses(model, batch)
            total += float(losses.double().sum())
            count += losses.numel()
    model.train(was_training)
    return total / count


def _batches(
    samples: Sequence[TokenisedSample], pad_id: int, batch_size: int, device: str
) -> Iterator[dict[str, Tensor]]:
    ordered = sorted(samples, key=lambda sample: len(sample.input_ids), reverse=True)
    for start in range(0, len(ordered), batch_size):
        rows = [sample.row for sample in ordered[start : start + batch_size]]
        yield {name: tensor.to(device) for name, tensor in collate(rows, pad_id).items()}
