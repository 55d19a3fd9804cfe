"""The order of an epoch: at random, but what is computed at once is of similar length, and no row sees another."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.trainer_pt_utils import LengthGroupedSampler

from nabi.datasets.files import read_samples
from nabi.training.base_model import load_base, resolve_base
from nabi.training.loss import collate, token_losses
from nabi.training.order import epoch_order
from nabi.training.preference import num_learned
from nabi.training.tokenise import tokenise_samples

BATCH = 4
LENGTHS = random.Random(20260701).choices(range(40, 500), k=203)


def _order(seed: int) -> list[int]:
    return epoch_order(LENGTHS, BATCH, torch.Generator().manual_seed(seed))


def _batches(order: list[int]) -> list[list[int]]:
    return [[LENGTHS[place] for place in order[start : start + BATCH]] for start in range(0, len(order), BATCH)]


def _padding(order: list[int]) -> int:
    """Tokens that are computed for nothing."""
    return sum(len(batch) * max(batch) - sum(batch) for batch in _batches(order))


def test_every_sample_comes_once_and_each_epoch_has_another_order() -> None:
    generator = torch.Generator().manual_seed(7)
    first, second = epoch_order(LENGTHS, BATCH, generator), epoch_order(LENGTHS, BATCH, generator)
    assert sorted(first) == sorted(second) == list(range(len(LENGTHS)))
    assert first != second
    assert first == _order(7) != _order(8)


def test_batches_hold_samples_of_similar_length_and_the_longest_comes_first() -> None:
    order = _order(7)
    shuffled = random.Random(7).sample(range(len(LENGTHS)), len(LENGTHS))
    assert _padding(order) < _padding(shuffled) / 4
    assert max(_batches(order)[0]) == max(LENGTHS)


@pytest.mark.parametrize("num", [1, 3, 15, 16, 203])
def test_the_orders_are_those_of_transformers_grouped_by_length(num: int) -> None:
    lengths, theirs = LENGTHS[:num], torch.Generator().manual_seed(11)
    torch.empty((), dtype=torch.int64).random_(generator=theirs)  # what a DataLoader draws for its workers
    sampler = LengthGroupedSampler(BATCH, lengths=lengths, generator=theirs)
    assert epoch_order(lengths, BATCH, torch.Generator().manual_seed(11)) == list(sampler)


def test_a_batch_is_as_wide_as_its_longest_row_and_no_wider() -> None:
    rows = [{"input_ids": [5] * length, "labels": [5] * length} for length in (9, 30, 17)]
    batch = collate(rows, pad_id=0)
    assert {tuple(tensor.shape) for tensor in batch.values()} == {(3, 32)}  # rounded up to 8
    assert batch["attention_mask"].sum(dim=1).tolist() == [9, 30, 17]


def test_no_row_sees_its_neighbours(make_job: Callable[..., Any], tmp_path: Path) -> None:
    """Each token's loss is what it is in a batch of its own, whoever stands beside it."""
    job = make_job(tmp_path, num_samples=6)
    base = load_base(resolve_base("minute", job.models_dir), threads=1)
    samples = list(read_samples(job.train_file))
    samples[2] = samples[2].model_copy(
        update={
            "messages": (
                samples[2].messages[0].model_copy(update={"content": "배고파요 " * 30}),
                samples[2].messages[1],
            )
        }
    )
    told = tokenise_samples(base.tokenizer, samples, system_prompt="짧게.", uses_facts=True, max_length=512).samples
    pad_id = base.tokenizer.pad_token_id
    with torch.no_grad():
        together = token_losses(base.model, collate([sample.row for sample in told], pad_id))
        parts = torch.split(together, [num_learned(sample) for sample in told])
        for sample, part in zip(told, parts, strict=True):
            alone = token_losses(base.model, collate([sample.row], pad_id))
            assert torch.allclose(part, alone, atol=1e-5)
