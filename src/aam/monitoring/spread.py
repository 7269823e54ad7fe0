"""Means of runs that should come out alike, how far they lie apart, and what that says."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance

Interval = tuple[float, float]


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation (with n - 1; None of one value) of ``number`` values."""

    mean: float
    sd: float | None
    number: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Mean | None":
        """None of nothing."""
        listed = list(values)
        if not listed:
            return None
        sd = stdev(listed) if len(listed) > 1 else None
        return cls(fmean(listed), sd, len(listed))


def corrected_interval(mean: Mean, ratio: float) -> Interval | None:
    """The 95 % interval of a mean difference by the corrected resampled t-test.

    Over J splits of the same samples, each tested on ``ratio`` = n_test / n_train::

        mean ± t(0.975; J - 1) · sqrt((1 / J + n_test / n_train) · sd²)

    The plain 1 / J (``ratio`` 0) would take splits for independent, though they share most of their
    training samples, and find differences where there are none (C. Nadeau, Y. Bengio: Inference for
    the generalization error, Machine Learning 52, 2003, 239-281). None for a single value.
    """
    if mean.sd is None:
        return None
    half = _t(mean.number - 1) * mean.sd * math.sqrt(1 / mean.number + ratio)
    return mean.mean - half, mean.mean + half


def welch_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """The 95 % interval of the difference of two means of values that are not paired.

    Variances may differ (B. L. Welch, Biometrika 34, 1947, 28-35). None where either has a single
    value.
    """
    if min(len(ours), len(theirs)) < 2:
        return None
    difference = fmean(ours) - fmean(theirs)
    shares = [(variance(values) / len(values), len(values) - 1) for values in (ours, theirs)]
    error = sum(share for share, _ in shares)
    if error == 0:
        return difference, difference
    degrees = error**2 / sum(share**2 / free for share, free in shares)
    half = _t(degrees) * math.sqrt(error)
    return difference - half, difference + half


def mean_text(mean: Mean | None, decimals: int, number: int) -> str:
    """``12.3 ± 1.2``; ``(n=3)`` is added where it is of fewer than ``number`` values."""
    if mean is None:
        return "-"
    text = f"{mean.mean:.{decimals}f}"
    if mean.sd is not None:
        text += f" ± {mean.sd:.{decimals}f}"
    return f"{text} (n={mean.number})" if mean.number < number else text


def count(number: int, what: str) -> str:
    """``1 fold`` or ``5 folds``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _t(degrees: float) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # without all of scipy.stats

    return float(stdtrit(degrees, 0.975))
