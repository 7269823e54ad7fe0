"""Learning-rate schedules that torch has in pieces only."""

import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
)


def warmup_cosine(
    optimizer: torch.optim.Optimizer, *, num_steps: int, warmup_steps: int, min_ratio: float
) -> LRScheduler:
    """Linear warmup, then a half cosine down to ``min_ratio`` of the learning rate."""
    if not 0 <= min_ratio <= 1:
        raise ValueError(f"min_ratio must lie in [0, 1], not be {min_ratio}")
    base = optimizer.param_groups[0]["lr"]
    cosine = CosineAnnealingLR(
        optimizer, T_max=max(1, num_steps - warmup_steps), eta_min=base * min_ratio
    )
    return _after_warmup(optimizer, cosine, warmup_steps)


def constant(optimizer: torch.optim.Optimizer, *, warmup_steps: int) -> LRScheduler:
    """Linear warmup, then the same learning rate to the end."""
    return _after_warmup(optimizer, LambdaLR(optimizer, _one), warmup_steps)


def _after_warmup(
    optimizer: torch.optim.Optimizer, then: LRScheduler, warmup_steps: int
) -> LRScheduler:
    if warmup_steps == 0:
        return then
    warmup = LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    return SequentialLR(optimizer, [warmup, then], milestones=[warmup_steps])


def _one(_: int) -> float:
    return 1.0
