from __future__ import annotations

import pytest
import torch

from nabi.training.tiny_base.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 24), (3, 24, 8), (2, 16, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrices))
    # The square ones hold a singular value near nothing, which five iterations do not lift all the way.
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_it_steps_as_torchs_own_does_but_for_its_rounding() -> None:
    random = torch.Generator().manual_seed(2)
    start = [torch.randn(shape, generator=random) for shape in ((12, 32), (32, 12), (12, 32))]
    gradients = [[torch.randn(matrix.shape, generator=random) for matrix in start] for _ in range(3)]
    ends = []
    for make in (
        lambda p: Muon(p, lr=0.02, weight_decay=0.1),
        lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ):
        matrices = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimizer = make(matrices)
        for step in gradients:
            for matrix, gradient in zip(matrices, step, strict=True):
                matrix.grad = gradient.clone()
            optimizer.step()
        ends.append(matrices)
    for ours, theirs, before in zip(*ends, start, strict=True):
        moved = (theirs - before).norm()
        # torch multiplies in bfloat16, which keeps two to three digits.
        assert (ours - theirs).norm() < 0.03 * moved
