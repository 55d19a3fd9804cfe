"""One pass of a base over rows of keys and values.

In float32, models built like Llama and Qwen go a way of our own: the same modules and numbers in half of the
operations, which is what a step of few tokens takes its time for on a CPU. All others go through transformers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm
from transformers import AttentionInterface

from nabi.errors import ModelError

_ATTENTION = "nabi_rows"
"""What transformers' models call our attention by."""

_BUILT_ALIKE = ("llama", "qwen2", "qwen3")
"""Names of architectures that `OwnForward` was compared with."""


class Pass(Protocol):
    """How the tokens of one pass look back."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(rows, heads, tokens, width) each → (rows, tokens, heads, width)."""


class Forward(Protocol):
    """Token ids and their places, (rows, tokens) each → logits, (rows, tokens, vocabulary).

    With `scored`, those behind these tokens of the only row alone.
    """

    def __call__(self, ids: Tensor, places: Tensor, work: Pass, scored: Tensor | None) -> Tensor: ...


def forward_of(model: Any) -> Forward:
    """The fastest way through a model.

    Raises:
        ModelError: it has attention of its own making.
    """
    config = model.config
    if config.model_type in _BUILT_ALIKE and config.hidden_act == "silu" and model.dtype == torch.float32:
        return OwnForward(model)
    return TransformersForward(model)


class OwnForward:
    """Through a model's modules, one after the other."""

    def __init__(self, model: Any) -> None:
        self._inner = model.model
        self._head = model.get_output_embeddings()
        self._layers = [_Layer(layer, number) for number, layer in enumerate(self._inner.layers)]

    def __call__(self, ids: Tensor, places: Tensor, work: Pass, scored: Tensor | None) -> Tensor:
        x = self._inner.embed_tokens(ids)
        cos, sin = (part.unsqueeze(2) for part in self._inner.rotary_emb(x, places))
        # Turned by half its width, a head's first half is taken away from its second one.
        sin[..., : sin.shape[-1] // 2].neg_()
        for layer in self._layers:
            x = layer(x, cos, sin, work)
        if scored is not None:
            x = x[:, scored]
        logits: Tensor = self._head(_normed(self._inner.norm, x))
        return logits


class _Layer:
    """A decoder layer: attention, then the gated layers."""

    def __init__(self, layer: Any, number: int) -> None:
        attention = layer.self_attn
        self._number = number
        self._norms = layer.input_layernorm, layer.post_attention_layernorm
        self._attention, self._mlp = attention, layer.mlp
        self._width = attention.head_dim
        self._num_queries = attention.config.num_attention_heads
        self._head_norms = _head_norms(attention)

    def __call__(self, x: Tensor, cos: Tensor, sin: Tensor, work: Pass) -> Tensor:
        attention, mlp = self._attention, self._mlp
        normed = _normed(self._norms[0], x)
        heads: Any = torch.cat((attention.q_proj(normed), attention.k_proj(normed)), -1)
        heads = heads.unflatten(-1, (-1, self._width))
        if self._head_norms is not None:
            weights, eps = self._head_norms
            heads = rms_norm(heads, (self._width,), None, eps).mul_(weights)
        turned = heads.roll(self._width // 2, -1).mul_(sin)
        heads = heads.mul_(cos).add_(turned).transpose(1, 2)
        queries, keys = heads[:, : self._num_queries], heads[:, self._num_queries :]
        values = attention.v_proj(normed).unflatten(-1, (-1, self._width)).transpose(1, 2)
        seen = work.attend(self._number, queries, keys, values, attention.scaling)
        x = x + attention.o_proj(seen.flatten(2))
        normed = _normed(self._norms[1], x)
        made: Tensor = mlp.down_proj(mlp.act_fn(mlp.gate_proj(normed)).mul_(mlp.up_proj(normed)))
        return x + made


def _normed(norm: Any, x: Tensor) -> Tensor:
    return rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def _head_norms(attention: Any) -> tuple[Tensor, float] | None:
    """What each query's and key's head is multiplied with once it is normed, (heads, width); None without norms."""
    if not hasattr(attention, "q_norm"):
        return None
    counts = attention.config.num_attention_heads, attention.config.num_key_value_heads
    norms = attention.q_norm, attention.k_norm
    weights = [norm.weight.expand(count, -1) for norm, count in zip(norms, counts, strict=True)]
    return torch.cat(weights).detach(), norms[0].variance_epsilon


class TransformersForward:
    """Through a model as transformers has it, whose attention looks back into our rows.

    Raises:
        ModelError: it has attention of its own making.
    """

    def __init__(self, model: Any) -> None:
        if not getattr(model, "_supports_attention_backend", False):
            raise ModelError(
                "the base brings attention of its own, which cannot be given rows of keys and values",
                fix="Choose a base whose attention transformers lets others provide, such as Qwen3 or Llama.",
            )
        self._model = model

    def __call__(self, ids: Tensor, places: Tensor, work: Pass, scored: Tensor | None) -> Tensor:
        with _attention(self._model.config):
            output = self._model(
                input_ids=ids,
                position_ids=places,
                use_cache=False,
                logits_to_keep=0 if scored is None else scored,
                kv_rows=work,
            )
        logits: Tensor = output.logits
        return logits


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: None,
    *,
    kv_rows: Pass,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers' models ask for it."""
    beyond = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    if beyond:
        raise ModelError(
            f"the base's attention needs {', '.join(beyond)}, which rows of keys and values do not know",
            fix="Choose a base with plain attention, such as Qwen3 or Llama.",
        )
    return kv_rows.attend(int(module.layer_idx), query, key, value, scaling), None  # type: ignore[arg-type]


AttentionInterface.register(_ATTENTION, _attend)


@contextmanager
def _attention(config: Any) -> Iterator[None]:
    """Within, models of this configuration look back through rows; elsewhere as before."""
    before = config._attn_implementation
    config._attn_implementation = _ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before
