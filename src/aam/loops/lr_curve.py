"""The curve of a learning-rate search: when it is over, and which rate it suggests.

After Smith, Cyclical Learning Rates for Training Neural Networks, 2017. Shapes: N updates.
"""

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST = 5  # updates; fewer make no curve
_NOISE = 2.0


class Explosion:
    """Tells while a search goes on that the loss has exploded.

    Judged is its exponential mean so far, in which each update weighs ``smoothing`` of the next.
    """

    def __init__(self, smoothing: float, factor: float) -> None:
        self.smoothing = smoothing
        self.factor = factor
        self._sum = self._weight = 0.0
        self._lowest = math.inf

    def limit_with(self, loss: float) -> float:
        """Take one more finite loss: ``factor`` times the lowest mean so far."""
        self._sum = self.smoothing * self._sum + loss
        self._weight = self.smoothing * self._weight + 1
        self._lowest = min(self._lowest, self.mean)
        return self.factor * self._lowest

    def comes_with(self, loss: float) -> bool:
        """Take one more loss: whether it is not finite, or brings the mean beyond the limit."""
        return not math.isfinite(loss) or self.limit_with(loss) < self.mean

    @property
    def mean(self) -> float:
        """Of what was taken."""
        return self._sum / self._weight


@dataclass(frozen=True)
class Rates:
    """What a curve says of the learning rate."""

    steepest: float
    """Where the smoothed loss falls fastest per decade of the rate."""
    lowest: float
    """Where it is lowest."""
    is_falling: bool
    """Whether the loss still fell with the last update."""

    @property
    def suggested(self) -> float:
        """Halfway between both, on the logarithmic axis.

        In a search the loss has been used up by lower rates when it falls fastest, so a training
        bears more; where it is lowest, it has begun to lose by too high a rate what it gains.
        """
        return math.sqrt(self.steepest * self.lowest)

    @property
    def tenth(self) -> float:
        """A tenth of the rate of the lowest loss, the cautious choice."""
        return self.lowest / 10


def smoothed(loss_N: Floats, smoothing: float, factor: float) -> Floats:
    """Means of neighbours before and after, ``smoothing ** distance`` their weights.

    So the curve does not lag behind the rate, as a mean of the updates before would. What lies
    beyond the limit of an explosion counts as that limit: it shall not lift what came before.
    """
    explosion = Explosion(smoothing, factor)
    limit_N = np.array([explosion.limit_with(float(loss)) for loss in loss_N])
    sum_N = _both_ways(np.minimum(loss_N, limit_N), smoothing)
    return sum_N / _both_ways(np.ones(len(loss_N)), smoothing)


def _both_ways(value_N: Floats, smoothing: float) -> Floats:
    """Sums over all neighbours and the place itself, ``smoothing ** distance`` their weights."""

    def so_far(value_N: Floats) -> Floats:
        sums = accumulate(value_N.tolist(), lambda before, value: smoothing * before + value)
        return np.array(list(sums))

    forth_N, back_N = so_far(value_N), so_far(value_N[::-1])[::-1]
    return forth_N + (back_N - value_N)


def rates_of(lr_N: Floats, loss_N: Floats, smooth_N: Floats) -> Rates | None:
    """Judge a curve of finite losses; None where the loss does not fall.

    It does if the smoothed loss goes down, from its highest to its lowest after that, by more than
    twice the standard deviation of single losses around it: noise does not get there.
    """
    if len(lr_N) < FEWEST:
        return None
    lowest = int(smooth_N.argmin())
    before_n = slice(0, lowest + 1)
    fall = float(smooth_N[before_n].max() - smooth_N[lowest])
    scatter = float(np.std(loss_N[before_n] - smooth_N[before_n]))
    if lowest == 0 or fall <= _NOISE * scatter:
        return None
    slope_N = np.gradient(smooth_N, np.log10(lr_N))
    return Rates(
        steepest=float(lr_N[slope_N[before_n].argmin()]),
        lowest=float(lr_N[lowest]),
        is_falling=lowest == len(lr_N) - 1,
    )


def as_metrics(rates: Rates | None) -> dict[str, float | None]:
    """The rates as the facts have them, nulls where there are none."""
    return {
        "suggested_lr": None if rates is None else rates.suggested,
        "steepest_lr": None if rates is None else rates.steepest,
        "tenth_lr": None if rates is None else rates.tenth,
    }
