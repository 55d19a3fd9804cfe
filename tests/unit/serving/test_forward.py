"""Bases of several architectures through rows of keys and values, beside what transformers makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from nabi.errors import ModelError
from nabi.serving.forward import OwnForward, TransformersForward, forward_of
from nabi.serving.kv_rows import KvRows, Stretch

SIZES: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
OWN = ["Llama", "Qwen2", "Qwen3"]
KINDS = [*OWN, "Mistral", "Olmo2", "Phi3"]


def _model(kind: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    more = {"pad_token_id": 0} if kind == "Phi3" else {"sliding_window": None} if kind == "Mistral" else {}
    config = getattr(transformers, f"{kind}Config")(**SIZES | more | changes)
    torch.manual_seed(1)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval().requires_grad_(False).to(dtype)
    for name, weight in model.named_parameters():  # as they begin, norms are ones and biases zeros
        if "norm" in name or "bias" in name:
            weight.data = torch.rand_like(weight)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_reading_and_stepping_give_what_transformers_gives_for_the_whole_text(kind: str) -> None:
    model = _model(kind)
    assert isinstance(forward_of(model), OwnForward) == (kind in OWN)
    common, ends = [5, 6, 7, 8], [[9, 10, 11], [12], [13, 14, 15, 16, 17]]
    texts = [[*common, *end] for end in ends]
    shared = Stretch(range(3), 0, common)
    own = [Stretch(range(row, row + 1), 4, end, scored=1) for row, end in enumerate(ends)]
    rows = KvRows(model, 3, 64)
    with torch.inference_mode():
        logits = rows.read([shared, *own], [None] * 3)
        for token in (20, 21):
            for row, text in enumerate(texts):
                whole = model(torch.tensor([text])).logits[0, -1]
                assert torch.allclose(logits[row], whole, rtol=1e-6, atol=1e-5)
                text.append(token)
            logits = rows.step([token] * 3)


def test_a_rope_that_stretches_is_taken_from_the_model() -> None:
    scaled = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
    plain, stretched = (_model("Qwen3", **more) for more in ({}, {"rope_parameters": scaled}))
    found = []
    for model in (plain, stretched):
        rows = KvRows(model, 1, 64)
        with torch.inference_mode():
            found.append(rows.read([Stretch(range(1), 0, list(range(5, 30)), scored=1)], [None]))
            assert torch.allclose(found[-1], model(torch.tensor([list(range(5, 30))])).logits[0, -1:], atol=1e-5)
    assert not torch.allclose(*found, atol=1e-3)


def test_other_numbers_go_through_transformers() -> None:
    assert isinstance(forward_of(_model("Qwen3", torch.bfloat16)), TransformersForward)


def test_a_base_with_attention_of_its_own_making_is_refused() -> None:
    model = _model("Qwen3", torch.bfloat16)
    model._supports_attention_backend = False
    with pytest.raises(ModelError, match="attention of its own"):
        KvRows(model, 1, 64)


def test_a_base_that_caps_its_attention_is_refused() -> None:
    rows = KvRows(_model("Gemma2", head_dim=8, layer_types=["full_attention"] * 2), 1, 64)
    with pytest.raises(ModelError, match="softcap"), torch.inference_mode():
        rows.read([Stretch(range(1), 0, [5, 6], scored=1)], [None])


def test_a_base_that_looks_through_a_window_is_refused() -> None:
    with pytest.raises(ModelError, match="sliding window"):
        KvRows(_model("Gemma2", head_dim=8), 1, 64)
