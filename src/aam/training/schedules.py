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
    optimizer: torch.optim.Optimizer, *, num_updates: int, warmup_updates: int, min_ratio: float
) -> LRScheduler:
    """Linear warmup, then a half cosine down to ``min_ratio`` of the learning rate."""
    base = optimizer.param_groups[0]["lr"]
    cosine = CosineAnnealingLR(
        optimizer, T_max=max(1, num_updates - warmup_updates), eta_min=base * min_ratio
    )
    return _after_warmup(optimizer, cosine, warmup_updates)


def constant(optimizer: torch.optim.Optimizer, *, warmup_updates: int) -> LRScheduler:
    """Linear warmup, then the same learning rate to the end."""
    return _after_warmup(optimizer, LambdaLR(optimizer, _one), warmup_updates)


def _after_warmup(
    optimizer: torch.optim.Optimizer, then: LRScheduler, warmup_updates: int
) -> LRScheduler:
    if warmup_updates == 0:
        return then
    warmup = LinearLR(optimizer, start_factor=1 / (warmup_updates + 1), total_iters=warmup_updates)
    return SequentialLR(optimizer, [warmup, then], milestones=[warmup_updates])


def _one(_: int) -> float:
    return 1.0
