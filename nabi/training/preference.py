"""Learning from answers marked bad: the preference losses, by trl's formulas and under trl's names.

    sigmoid             a bad answer and a better one to the same prompt: DPO, -log σ(β · (r_better - r_bad))
    apo_zero_unpaired   a bad answer alone: APO-zero, σ(β · r_bad)

r is how much likelier an answer has become since the training began: the difference of its log-probabilities, summed
over its tokens. trl's own trainers cannot be killed and gone on with to the same bits, so only its losses are here
(those of trl 1.16); a test holds them to an independent calculation.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nabi.training.loss import collate, token_losses
from nabi.training.tokenise import IGNORED, TokenisedBadAnswer, TokenisedSample


@dataclass(frozen=True, slots=True)
class Won:
    """What a model thinks of bad answers; shares in [0, 1], None where there is nothing to count.

    Args:
        pairs: of those with a better answer, the share in which that one is likelier, per token.
        rarer: the share of the bad answers that are less likely than when the training began.
    """

    pairs: float | None
    rarer: float | None


def preference_losses(ratios: Tensor, paired: Tensor, beta: float) -> Tensor:
    """The loss of each bad answer.

    Args:
        ratios: (number, 2): log-probability now minus then, of the better answer and of the bad one, in nats.
        paired: (number,): whether there is a better one; its ratio counts for nothing where there is not.
        beta: trl's.
    """
    better, bad = ratios.unbind(dim=1)
    pair = -functional.logsigmoid(beta * (better - bad))
    return torch.where(paired, pair, torch.sigmoid(beta * bad))


def log_probabilities(model: Any, answers: Sequence[TokenisedBadAnswer], *, pad_id: int, device: str) -> Tensor:
    """(number, 2): log-probability of the better answer (0 where there is none) and of the bad one, in nats."""
    rows = [row for answer in answers for row in (answer.better, answer.bad) if row is not None]
    batch = collate([row.row for row in rows], pad_id)
    losses = token_losses(model, {name: tensor.to(device) for name, tensor in batch.items()})
    sums = iter([-part.sum() for part in torch.split(losses, [num_learned(row) for row in rows])])
    nothing = torch.zeros((), device=losses.device)
    pairs = [torch.stack([next(sums) if answer.better else nothing, next(sums)]) for answer in answers]
    return torch.stack(pairs)


def num_learned(sample: TokenisedSample) -> int:
    """How many tokens of a sample are learned."""
    return sum(label != IGNORED for label in sample.labels[1:])


def judge(answers: Sequence[TokenisedBadAnswer], then: Tensor, now: Tensor) -> Won:
    """Who wins, by the log-probabilities at the beginning and now, each as `log_probabilities` gives them."""
    pairs = [
        float(better) / num_learned(answer.better) > float(bad) / num_learned(answer.bad)
        for answer, (better, bad) in zip(answers, now.tolist(), strict=True)
        if answer.better is not None
    ]
    rarer = (now[:, 1] < then[:, 1]).tolist()
    return Won(_share(pairs), _share(rarer))


def places_of_step(num: int, step: int, steps_an_epoch: int, seed: int) -> list[int]:
    """Which of `num` bad answers fall on a step: all of them once an epoch, spread evenly, each epoch in another order.

    It follows from the arguments alone, so that nothing of it need be remembered; the samples' order is not touched.
    """
    epoch, within = divmod(step, steps_an_epoch)
    random = torch.Generator().manual_seed(zlib.crc32(f"{seed}/preferences/{epoch}".encode()))
    order: list[int] = torch.randperm(num, generator=random).tolist()
    return order[within * num // steps_an_epoch : (within + 1) * num // steps_an_epoch]


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
