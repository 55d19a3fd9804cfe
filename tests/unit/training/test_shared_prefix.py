"""A persona's system prompt is computed once for all rows of a batch, and nothing changes but the time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from nabi.datasets.files import read_samples
from nabi.training import loss
from nabi.training.base_model import load_base, resolve_base
from nabi.training.loss import IGNORED, collate, shared_prefix, token_losses
from nabi.training.tokenise import tokenise_samples

SYSTEM_PROMPT = "너는 급식카드 밥집 도우미야. 참고 정보에 있는 것만 다정하게 알려 줘."


@pytest.fixture
def model_and_batch(make_job: Callable[..., Any], tmp_path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    job = make_job(tmp_path)
    base = load_base(resolve_base("minute", job.models_dir), threads=1)
    told = tokenise_samples(
        base.tokenizer, read_samples(job.train_file), system_prompt=SYSTEM_PROMPT, uses_facts=True, max_length=512
    ).samples
    batch = collate([{"input_ids": s.input_ids, "labels": s.labels} for s in told], base.tokenizer.pad_token_id)
    model = get_peft_model(base.model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    return model, batch


def computed(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    model.zero_grad()
    losses = token_losses(model, batch)
    losses.sum().backward()
    return losses.detach(), [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


@pytest.mark.parametrize("limit", [loss.MAX_LOGITS, 3000])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_sharing_the_prefix_changes_neither_losses_nor_gradients(
    model_and_batch: tuple[Any, dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch, attention: str, limit: int
) -> None:
    model, batch = model_and_batch
    model.get_base_model().set_attn_implementation(attention)
    monkeypatch.setattr(loss, "MAX_LOGITS", limit)
    length = shared_prefix(batch)
    read = count_tokens(model, monkeypatch)
    losses, gradients = computed(model, batch)
    rows, width = batch["input_ids"].shape
    assert length >= 16
    assert read == [length, rows * (width - length)]
    monkeypatch.setattr(loss, "_LEAST_SHARED", 10_000)
    plain, plain_gradients = computed(model, batch)
    assert torch.allclose(losses, plain, atol=1e-5)
    for one, other in zip(gradients, plain_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-4, rtol=1e-3)


def count_tokens(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the number of tokens of every pass through the model's layers."""
    seen: list[int] = []
    embedding = model.get_base_model().get_input_embeddings()
    embed = embedding.forward
    monkeypatch.setattr(embedding, "forward", lambda ids: seen.append(ids.numel()) or embed(ids))
    return seen


def test_layers_with_a_window_and_activations_computed_twice_are_given_whole_rows(
    model_and_batch: tuple[Any, dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = model_and_batch
    inner = model.get_base_model()
    read = count_tokens(model, monkeypatch)
    inner.train()
    inner.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    token_losses(model, batch)
    inner.activation_checkpointing_disable()
    kinds = inner.config.layer_types
    monkeypatch.setattr(inner.config, "layer_types", ["sliding_attention", *kinds[1:]])
    assert not loss._may_share(inner)
    assert read == [batch["input_ids"].numel()]


def rows_of(*rows: tuple[list[int], list[int]]) -> dict[str, torch.Tensor]:
    return collate([{"input_ids": ids, "labels": labels} for ids, labels in rows], pad_id=0)


def test_the_prefix_ends_before_the_place_that_speaks_of_the_first_learned_token() -> None:
    ids = list(range(1, 31))
    labels = [IGNORED] * 20 + ids[20:]
    assert shared_prefix(rows_of((ids, labels), (ids, labels))) == 19


def test_rows_that_begin_alike_for_too_short_or_stand_alone_share_nothing() -> None:
    ids = list(range(1, 31))
    labels = [IGNORED] * 29 + ids[29:]
    other = [*ids[:10], 99, *ids[11:]]
    assert shared_prefix(rows_of((ids, labels))) == 0
    assert shared_prefix(rows_of((ids, labels), (other, labels))) == 0
    assert shared_prefix(rows_of((ids, labels), ([*ids[:20], 99, *ids[21:]], labels))) == 20
