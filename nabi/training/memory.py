"""How much memory a training needs, counted from the shape of the base and the recipe.

What is counted, in bytes:

    base         every weight once: 2 in bf16 on a GPU, 4 on a CPU; in 4 bits 0.516 for those of linear layers (NF4 and
                 the twice quantised scales), the embedding as before
    adapter      r · (in + out) for each target module, 16 each: weight, gradient and AdamW's two means in float32
    activations  what the backward pass needs again, for every token of the rows computed at once: per layer 6 hidden,
                 4 query, 4 key-and-value and 4 inner widths, and the inputs of the adapted modules where dropout is on;
                 plain attention on a CPU keeps its scores too. With `recompute` one width a layer, and one layer whole
    logits       scores over the vocabulary where a token is learned, three times (made, in float32, their gradient),
                 at most one chunk of them at a time
    reference    two log-probabilities in float32 for each answer marked bad: what the model thought at the beginning
    fixed        CUDA's context and kernels, or Python and its libraries

A bad answer and its better one are two rows that are computed at once, so with any of them no fewer than two rows are
in memory. Adapters that are trained as one batch share base and fixed; all else each brings along.

It is an estimate to decide by, not a promise: `docs/training.md` compares it with what was measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from nabi.training.base_model import BaseRef, folder_here
from nabi.training.recipe import Recipe

TYPICAL_TOKENS = 512
"""Tokens of the longest sample where nobody has counted: system prompt, facts, question and answer of a chat."""

MAX_LOGITS = 2**25
"""Scores (tokens × vocabulary) that are in memory at once; beyond it they are made in chunks. 128 MiB in float32.

Here and not beside the loss, which brings torch: whoever only makes a job asks how much memory it needs.
"""

GIB = 2**30
_REFERENCE_BYTES = 8
_NF4_BYTES = (4 + 0.127) / 8  # 4 bits, and a scale for every 64 weights that is itself quantised
_ADAPTER_BYTES = 16
_FIXED = {"cuda": int(0.6 * GIB), "cpu": int(0.8 * GIB)}


@dataclass(frozen=True, slots=True)
class BaseShape:
    """The widths of a decoder-only transformer, as its `config.json` tells them."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    tied: bool

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Each linear layer of a block: name → (in, out)."""
        query, key = self.heads * self.head_width, self.key_value_heads * self.head_width
        return {
            "q_proj": (self.hidden, query),
            "k_proj": (self.hidden, key),
            "v_proj": (self.hidden, key),
            "o_proj": (query, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    @property
    def linear_weights(self) -> int:
        """Weights of all blocks' linear layers."""
        return self.layers * sum(num_in * num_out for num_in, num_out in self.linear.values())

    @property
    def weights(self) -> int:
        """All weights, norms apart."""
        return self.linear_weights + self.vocabulary * self.hidden * (1 if self.tied else 2)


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes by purpose."""

    base: int
    adapter: int
    activations: int
    logits: int
    reference: int
    fixed: int

    @property
    def total(self) -> int:
        return sum(getattr(self, part.name) for part in fields(self))

    def __str__(self) -> str:
        """For people: "5.3 GiB (base 2.1, adapter 0.4, …)"."""
        parts = ", ".join(f"{part.name} {getattr(self, part.name) / GIB:.2f}" for part in fields(self))
        return f"{self.total / GIB:.1f} GiB ({parts})"


def read_shape(base: BaseRef) -> BaseShape | None:
    """The shape of a base that lies on this machine; None for one that does not, or is built otherwise."""
    folder = folder_here(base)
    path = folder / "config.json" if folder else None
    if path is None or not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    try:
        heads = told["num_attention_heads"]
        return BaseShape(
            hidden=told["hidden_size"],
            inner=told["intermediate_size"],
            layers=told["num_hidden_layers"],
            heads=heads,
            key_value_heads=told.get("num_key_value_heads") or heads,
            head_width=told.get("head_dim") or told["hidden_size"] // heads,
            vocabulary=told["vocab_size"],
            tied=bool(told.get("tie_word_embeddings", False)),
        )
    except KeyError:
        return None


def memory_needed(
    shape: BaseShape,
    recipe: Recipe,
    *,
    device: str,
    four_bit: bool | None = None,
    rows: int | None = None,
    tokens: int = TYPICAL_TOKENS,
    num_bad: int = 0,
    adapters: int = 1,
) -> MemoryNeed:
    """What a training needs on a device, by the formula above.

    Args:
        shape: of the base.
        device: `cuda` or `cpu`.
        four_bit: instead of the recipe's.
        rows: samples computed at once; None for the recipe's batch.
        tokens: of the longest sample.
        num_bad: answers marked bad that an adapter learns from.
        adapters: that are trained as one batch, each as the recipe says.
    """
    size = 2 if device == "cuda" else 4
    quantised = recipe.four_bit if four_bit is None else four_bit
    linear = int(shape.linear_weights * (_NF4_BYTES if quantised else size))
    at_once = max(rows or recipe.batch_size, 2 if num_bad else 1)
    placed = at_once * min(tokens, recipe.max_length) * adapters
    return MemoryNeed(
        base=linear + (shape.weights - shape.linear_weights) * size,
        adapter=_adapter_weights(shape, recipe) * _ADAPTER_BYTES * adapters,
        activations=_activations(shape, recipe, device, tokens) * size * placed,
        logits=min(placed * shape.vocabulary, MAX_LOGITS) * (size + 8),
        reference=num_bad * _REFERENCE_BYTES * adapters,
        fixed=_FIXED[device],
    )


def _targets(shape: BaseShape, recipe: Recipe) -> list[tuple[int, int]]:
    names = shape.linear if recipe.target_modules == "all-linear" else recipe.target_modules
    return [shape.linear[name] for name in names if name in shape.linear]


def _adapter_weights(shape: BaseShape, recipe: Recipe) -> int:
    return shape.layers * sum(recipe.r * (num_in + num_out) for num_in, num_out in _targets(shape, recipe))


def _activations(shape: BaseShape, recipe: Recipe, device: str, tokens: int) -> int:
    """Numbers kept for each token."""
    query, key = shape.heads * shape.head_width, shape.key_value_heads * shape.head_width
    layer = 6 * shape.hidden + 4 * query + 4 * key + 4 * shape.inner
    if recipe.dropout:
        layer += sum(2 * num_in for num_in, _ in _targets(shape, recipe))
    if device == "cpu":
        layer += 3 * shape.heads * tokens
    return layer + shape.layers * shape.hidden if recipe.recompute else layer * shape.layers
