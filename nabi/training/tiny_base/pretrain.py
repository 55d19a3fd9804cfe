"""Training of the base from nothing: one conversation a row, loss on what is said, mostly by the assistant."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nabi.training.base_model import precision
from nabi.training.tiny_base.corpus import dialogues
from nabi.training.tiny_base.corpus_dialogue import Dialogue
from nabi.training.tiny_base.tokenizer import END, START, word_pieces

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

    from nabi.training.side_by_side import SideBySide

MAX_LENGTH = 1024
USER_WEIGHT = 0.1


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. `tokens` counts every token read, prompts too."""

    tokens: int = 5_500_000
    batch_tokens: int = 3_072
    matrix_rate: float = 4e-3
    other_rate: float = 3e-3
    warmup: float = 0.03
    final_share: float = 0.02
    row_limit: int = 448


@dataclass(frozen=True)
class Row:
    """One conversation as tokens, and the weight of each token in the loss."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def make_model(vocabulary: int, seed: int) -> PreTrainedModel:
    """A fresh Qwen3 of about four million weights, float32."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=MAX_LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        initializer_range=0.02,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
    )
    # On short rows plain attention is a seventh faster on a CPU than the fused kernel, whose backward pass is slow.
    return Qwen3ForCausalLM._from_config(config, attn_implementation="eager")


def render(dialogue: Dialogue) -> tuple[str, list[tuple[int, int, float]]]:
    """A dialogue as the chat template writes it, and the spans (start, end, weight) that count in the loss."""
    text, spans = "", []
    for message in dialogue.messages():
        text += f"{START}{message['role']}\n"
        start = len(text)
        text += message["content"] + END
        if message["role"] != "system":
            spans.append((start, len(text), 1.0 if message["role"] == "assistant" else USER_WEIGHT))
        text += "\n"
    return text, spans


def encode(tokenizer: Tokenizer, batch: Sequence[Dialogue]) -> list[Row]:
    """Rows of tokens with loss weights: 1 for the assistant, a little for the user, 0 for the rest."""
    rendered = [render(dialogue) for dialogue in batch]
    rows = []
    for (_, spans), encoding in zip(rendered, tokenizer.encode_batch([text for text, _ in rendered]), strict=True):
        weights = [
            next((weight for start, end, weight in spans if start <= left < end), 0.0) for left, _ in encoding.offsets
        ]
        rows.append(Row(tuple(encoding.ids), tuple(weights)))
    return rows


def batches(tokenizer: Tokenizer, plan: Plan, seed: int) -> Iterator[list[Row]]:
    """Batches of rows of similar length, about `batch_tokens` each with padding, in random order; endless."""
    rng = random.Random(f"order-{seed}")
    stream = dialogues(seed, pieces=word_pieces(tokenizer))
    while True:
        rows = encode(tokenizer, [next(stream) for _ in range(2048)])
        rows = sorted((row for row in rows if len(row.ids) <= plan.row_limit), key=lambda row: len(row.ids))
        ready = list(_cut(rows, plan.batch_tokens))
        rng.shuffle(ready)
        yield from ready


def _cut(rows: list[Row], batch_tokens: int) -> Iterator[list[Row]]:
    """Batches of rows sorted by length, each filled up to `batch_tokens` of its padded width."""
    current: list[Row] = []
    for row in rows:
        if current and (len(current) + 1) * padded_width(len(row.ids)) > batch_tokens:
            yield current
            current = []
        current.append(row)
    yield current


def padded_width(length: int) -> int:
    """The next multiple of 16: few distinct shapes keep the allocator from growing."""
    return -(-length // 16) * 16


def _tensors(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    width = padded_width(max(len(row.ids) for row in rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    weights = torch.zeros((len(rows), width))
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        weights[i, : len(row.ids)] = torch.tensor(row.weights)
    return ids, weights


def weighted_loss(model: PreTrainedModel, rows: list[Row]) -> torch.Tensor:
    """Cross-entropy of the tokens that count, each times its weight, summed; only their logits are computed.

    Rows are padded on the right and attention is causal, so no mask is needed.
    """
    import torch

    ids, weights = _tensors(rows)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets, weights = ids[:, 1:], weights[:, 1:]
    counted = weights > 0
    logits = model.lm_head(hidden[counted]).float()
    losses = torch.nn.functional.cross_entropy(logits, targets[counted], reduction="none")
    return (losses * weights[counted]).sum()


def _gradients(model: PreTrainedModel, rows: list[Row], crew: SideBySide) -> float:
    """Make the gradients of the mean loss over the tokens that count; the loss itself."""
    import torch

    weights = tuple(model.parameters())
    # The first token of a row is never predicted.
    total = sum(sum(row.weights[1:]) for row in rows)

    def compute(part: list[Row]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision("cpu") == "bfloat16"):
            loss = weighted_loss(model, part) / total
        return loss.detach(), torch.autograd.grad(loss, weights)

    made = crew.map(compute, crew.parts(rows, lambda row: len(row.ids)))
    for weight, *gradients in zip(weights, *(gradients for _, gradients in made), strict=True):
        weight.grad = gradients[0]
        for gradient in gradients[1:]:
            weight.grad += gradient
    return float(sum(loss for loss, _ in made))


def _optimizers(model: PreTrainedModel, plan: Plan, crew: SideBySide) -> list[torch.optim.Optimizer]:
    import torch

    from nabi.training.tiny_base.muon import Muon

    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        Muon(matrices, lr=plan.matrix_rate, weight_decay=0.05, crew=crew),
        torch.optim.AdamW(others, lr=plan.other_rate, betas=(0.9, 0.98), weight_decay=0.0, foreach=False),
    ]


def _rate(done: float, plan: Plan) -> float:
    if done < plan.warmup:
        return done / plan.warmup
    through = (done - plan.warmup) / (1 - plan.warmup)
    return plan.final_share + (1 - plan.final_share) * 0.5 * (1 + math.cos(math.pi * through))


def pretrain(
    model: PreTrainedModel, tokenizer: Tokenizer, plan: Plan, seed: int, on_progress: Callable[[float, str], None]
) -> list[tuple[int, float]]:
    """Train in place until `plan.tokens` are read; returns (tokens read, loss) about every hundredth.

    It multiplies in bfloat16 where the processor can, else in float32 (the shipped weights were made so): emulated
    bfloat16 takes twenty times as long. Either way the same machine and number of threads give the same bits.
    """
    import torch

    from nabi.training.side_by_side import side_by_side

    model.train()
    read, curve, recent, started = 0, list[tuple[int, float]](), list[float](), time.perf_counter()
    with side_by_side("cpu", plan.batch_tokens // plan.row_limit) as crew:
        optimizers = _optimizers(model, plan, crew)
        peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        for step, rows in enumerate(batches(tokenizer, plan, seed)):
            scale = _rate((read + plan.batch_tokens / 2) / plan.tokens, plan)
            for optimizer, rates in zip(optimizers, peaks, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * scale
            recent.append(_gradients(model, rows, crew))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            read += sum(len(row.ids) for row in rows)
            if step % 10 == 9 or read >= plan.tokens:
                mean = sum(recent) / len(recent)
                curve.append((read, mean))
                recent.clear()
                pace = read / (time.perf_counter() - started)
                told = f"{read / 1e6:.2f}M tokens, loss {mean:.3f}, {pace:,.0f} tokens/s"
                on_progress(min(1.0, read / plan.tokens), told)
            if read >= plan.tokens:
                break
    model.eval()
    return curve
