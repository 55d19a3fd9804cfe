"""Muon: momentum whose step is made orthogonal, for the matrices inside the model.

torch ships this optimiser, but its Newton–Schulz iteration always multiplies in bfloat16. Where a processor has no
instructions for it that is emulated, and one step of this base took six seconds instead of a tenth of one. Here it
multiplies in float32, all matrices of one shape at once. The numbers otherwise are torch's (`torch.optim.Muon` with
`adjust_lr_fn="match_rms_adamw"`), from Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, and the step's
size from Liu et al. 2025, https://arxiv.org/abs/2502.16982.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from nabi.training.side_by_side import SideBySide

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay over matrices.

    Args:
        params: matrices, (rows, columns), float32.
        lr: the step's root mean square is about 0.2 × this, like AdamW's.
        crew: computes the steps of several matrices side by side.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        crew: SideBySide | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._crew = crew or SideBySide(1, None)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override, unused-ignore]
        """Take one step along the gradients that lie ready."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                by_shape.setdefault(matrix.shape, []).append(matrix)
            for (rows, columns), matrices in by_shape.items():
                size = group["lr"] * 0.2 * math.sqrt(max(rows, columns))
                for updates, some in self._updates(matrices, group["momentum"]):
                    for matrix, update in zip(some, updates, strict=True):
                        matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-size)

    def _updates(self, matrices: list[Tensor], momentum: float) -> Iterable[tuple[Tensor, list[Tensor]]]:
        """Steps of matrices of one shape, with the matrices that they are for."""
        parts = self._crew.parts(matrices, Tensor.numel)

        @torch.no_grad()
        def compute(part: list[Tensor]) -> Tensor:
            return orthogonal(torch.stack([self._momentum(matrix, momentum) for matrix in part]))

        return zip(self._crew.map(compute, parts), parts, strict=True)

    def _momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        gradient = matrix.grad
        assert gradient is not None, "every matrix of the model takes part in every step"
        mean = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
        mean.lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: singular values end between about 0.7 and 1.2.

    Args:
        matrices: shape (number, rows, columns).
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_EPSILON)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
