"""Learning-rate schedules that torch's classes do not give as they are.

Each takes the rate of every group of parameters as the group's own highest, so that the share of
the rate that an encoder has (``loop.encoder_lr``) is kept all along.
"""

import math

import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)


def constant(optimizer: torch.optim.Optimizer) -> LRScheduler:
    """The same learning rate to the end."""
    return LambdaLR(optimizer, lambda _: 1.0)


def warmup_cosine(
    optimizer: torch.optim.Optimizer, *, num_steps: int, min_ratio: float
) -> LRScheduler:
    """A half cosine down to ``min_ratio`` of the learning rate; the warmup comes before it."""
    if not 0 <= min_ratio <= 1:
        raise ValueError(f"min_ratio must lie in [0, 1], not be {min_ratio}")

    # CosineAnnealingLR has one floor for all groups, whatever their rates.
    def ratio(step: int) -> float:
        height = (1 + math.cos(math.pi * min(step / num_steps, 1.0))) / 2
        return min_ratio + (1 - min_ratio) * height

    return LambdaLR(optimizer, ratio)


def cosine(optimizer: torch.optim.Optimizer, *, num_steps: int, eta_min: float) -> LRScheduler:
    """A half cosine down to the rate ``eta_min``."""
    _refuse_rising(optimizer, eta_min)
    return CosineAnnealingLR(optimizer, T_max=num_steps, eta_min=eta_min)


def cosine_restarts(
    optimizer: torch.optim.Optimizer, *, num_steps: int, cycles: int, T_mult: int, eta_min: float
) -> LRScheduler:
    """Half cosines down to ``eta_min``, each ``T_mult`` times as long as the one before it.

    The first is as long as lets ``cycles`` of them fill the run.
    """
    _refuse_rising(optimizer, eta_min)
    if cycles < 1 or T_mult < 1:
        raise ValueError(f"cycles={cycles} and T_mult={T_mult} must be at least 1")
    first = math.ceil(num_steps / sum(T_mult**cycle for cycle in range(cycles)))
    return CosineAnnealingWarmRestarts(optimizer, T_0=first, T_mult=T_mult, eta_min=eta_min)


def onecycle(
    optimizer: torch.optim.Optimizer,
    *,
    num_steps: int,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    cycle_momentum: bool,
) -> LRScheduler:
    """A rise to the learning rate over ``pct_start`` of the run, and a fall to nearly 0."""
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=num_steps,
        pct_start=float(pct_start),
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum=cycle_momentum,
    )


def after_warmup(
    optimizer: torch.optim.Optimizer, then: LRScheduler, warmup_steps: int
) -> LRScheduler:
    """A linear rise over ``warmup_steps``, and another schedule from there."""
    if warmup_steps == 0:
        return then
    return SequentialLR(optimizer, [warmup(optimizer, warmup_steps), then], [warmup_steps])


def warmup(optimizer: torch.optim.Optimizer, warmup_steps: int) -> LinearLR:
    """A linear rise to the learning rate, which no step is made without."""
    return LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)


def _refuse_rising(optimizer: torch.optim.Optimizer, eta_min: float) -> None:
    lowest = min(group["lr"] for group in optimizer.param_groups)
    if eta_min > lowest:
        raise ValueError(f"eta_min={eta_min:g} is above the learning rate {lowest:g}")
