"""What the shape of the loss curves shows: overfitting, worsening, instability, plateau.

A check gives its evidence, or None. ``since`` is the index of the epoch at which it first found
what it has found in every epoch up to the last; None if it found nothing there.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from aam.config import DiagnosticsConfig
from aam.monitoring.diagnostics.history import WINDOW, History, all_finite

# A gap grows when it has become larger by this share of the allowed gap, by this share of itself,
# and by so many times its noise, which is estimated from so many epochs.
_GROWTH, _OWN_GROWTH, _NOISE, _NOISE_EPOCHS = 0.25, 0.1, 3.0, 15
# It grows slowly when it does half of that in so many epochs, and again in as many before.
_LONG = 5
# A training loss below this share of the validation loss is that of samples known by heart.
_BY_HEART = 0.25
# A loss whose level falls by this share of itself in an epoch is on its way, if slowly.
_FALLING = 0.001
# Below this share of its peak the rate is as good as over: the loss rests as the schedule has it.
_FADED = 0.2


def overfitting(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """The gap is above the limit and grew.

    It holds on until the gap has shrunk or the validation loss has fallen to another level.
    """
    now = len(run.epochs)
    if not run.has_validation or now < 2 * WINDOW:
        return None
    if not all(gap > limits.gap for gap in _gaps(run, now)):
        return None
    begun = now if since is None else since + 1
    before = _smallest_gap(run, begun)
    grown = _gap(run, now) - max(0.0, _gap(run, before))
    least = max(_GROWTH * limits.gap, _NOISE * noise(_gaps(run, now, _NOISE_EPOCHS)))
    grows = _grows(run, now, least) if since is None else grown > least / 2
    has_fallen = since is not None and run.lowest.value < run.levels[since].value - limits.rise
    if has_fallen or not (grows or _is_by_heart(run, limits)):
        return None
    return (
        f"validation - training loss grew from {_gap(run, before):+.3g} "
        f"(median of {_last(run, before)}) to {_gap(run, now):+.3g} ({_last(run, now)}), "
        f"limit {limits.gap:.3g}"
    )


def worsening(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """The judged loss has risen above its lowest level, and the best epoch is long ago."""
    now, losses = len(run.epochs), run.judged
    if now < 2 * WINDOW or run.best is None or not all_finite(losses[-2 * WINDOW :]):
        return None
    before, then = median(losses[-2 * WINDOW : -WINDOW]), median(losses[-WINDOW:])
    rises = then > before or since is not None
    is_old = now - 1 - run.best >= limits.rise_epochs
    least = max(limits.rise, _NOISE * noise(losses[-_NOISE_EPOCHS:]))
    if not (is_old and rises and then - run.lowest.value > least):
        return None
    return (
        f"{run.judged_name} rose from {run.lowest.value:.4g} (median of "
        f"{_last(run, run.lowest.end + 1)}, its lowest) to {then:.4g} ({_last(run, now)}); best "
        f"{losses[run.best]:.4g} in epoch {run.epochs[run.best]}"
    )


def instability(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """The last judged losses scatter."""
    last = run.judged[-limits.std_epochs :]
    if len(last) < max(limits.std_epochs, WINDOW) or not is_unstable(last, limits.std):
        return None
    return (
        f"{run.judged_name} jumps: standard deviation {_std(last):.3g} over the last "
        f"{len(last)} epochs ({', '.join(f'{value:.4g}' for value in last)}), "
        f"limit {limits.std:.3g}"
    )


def plateau(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """The judged loss hardly changes any more, though the learning rate could still move it."""
    num = limits.plateau_epochs
    last = run.judged[-num - 1 :]
    if len(last) <= num or run.rates[-1] < _FADED * run.highest_rate or not run.has_learned(limits):
        return None
    changes = [abs(after - before) for before, after in pairwise(last)]
    fall = run.levels[-num - 1].value - run.lowest.value
    falls = fall > num * _FALLING * abs(run.lowest.value)
    if falls or not all(change < limits.plateau_change for change in changes):
        return None
    return (
        f"{run.judged_name} stays at {last[-1]:.4g}: each of the last {num} changes is "
        f"below {limits.plateau_change:.3g}"
    )


def is_unstable(last: Sequence[float], limit: float) -> bool:
    """Whether losses scatter by more than ``limit``, up as well as down.

    A steady fall or rise is no scatter, nor is one jump to another level.
    """
    if not _std(last) > limit:
        return False
    changes = [after - before for before, after in pairwise(last)]
    rises, falls = (sum(max(sign * change, 0.0) for change in changes) for sign in (1, -1))
    return min(rises, falls) > limit


def rolling_std(values: Sequence[float], window: int) -> list[float]:
    """Population standard deviation of the last ``window`` values; NaN before there are so many."""
    return [
        _std(last) if len(last) == window else math.nan
        for last in (values[max(0, end - window) : end] for end in range(1, len(values) + 1))
    ]


def _std(values: Sequence[float]) -> float:
    """Of the population; NaN where a value is. A tenth of the time that ``statistics`` takes."""
    mean = sum(values) / len(values)
    # No sum of squares: that of an exploding loss may be more than a float holds.
    return math.hypot(*(value - mean for value in values)) / math.sqrt(len(values))


def noise(values: Sequence[float]) -> float:
    """The standard deviation of values about their trend, robustly; 0 where they are too few.

    From second differences, which a straight trend leaves at 0: of normal noise their median size
    is sqrt(6) * 0.6745 standard deviations.
    """
    bends = [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    finite = [bend for bend in bends if math.isfinite(bend)]
    return median(finite) / (math.sqrt(6) * 0.6745) if finite else 0.0


def _gaps(run: History, end: int, num: int = WINDOW) -> list[float]:
    """Validation - training loss of the last epochs up to the index ``end``."""
    epochs = slice(max(0, end - num), end)
    return [val - train for val, train in zip(run.val[epochs], run.train[epochs], strict=True)]


def _gap(run: History, end: int) -> float:
    """The median gap of three epochs; NaN if one of them is."""
    return median(gaps) if all_finite(gaps := _gaps(run, end)) else math.nan


def _grows(run: History, now: int, least: float) -> bool:
    """Whether the gap has grown: lately, slowly but steadily, or since validation was best."""
    lately, long_ago, at_best = _earlier(run, now)
    ways = ((lately, now), (long_ago, now - _LONG, now), (at_best, now))
    return any(ends[0] >= WINDOW and _grows_over(run, ends, least) for ends in ways)


def _earlier(run: History, now: int) -> tuple[int, int, int]:
    """The indices that the gap is compared with."""
    return now - WINDOW, now - 2 * _LONG, run.levels[now - 1].end + 1


def _smallest_gap(run: History, now: int) -> int:
    """That of them with the smallest gap."""
    known = [end for end in _earlier(run, now) if end >= WINDOW and math.isfinite(_gap(run, end))]
    return min(known, key=lambda end: _gap(run, end), default=now)


def _grows_over(run: History, ends: Sequence[int], least: float) -> bool:
    """Whether the gap grows from each index to the next, by its share of what is needed in all."""
    # A gap below zero is what training losses are while they fall within the epoch: none at all.
    levels = [max(0.0, _gap(run, end)) for end in ends]
    step = max(least, _OWN_GROWTH * levels[0]) / (len(ends) - 1)
    return all(after - before > step for before, after in pairwise(levels))


def _is_by_heart(run: History, limits: DiagnosticsConfig) -> bool:
    """Whether the training loss is next to nothing while the validation loss has risen."""
    train, val = median(run.train[-WINDOW:]), median(run.val[-WINDOW:])
    return train < _BY_HEART * val and val - run.lowest.value > limits.rise


def _last(run: History, end: int) -> str:
    """The three epochs up to the index ``end``, as people count them."""
    return f"epochs {run.epochs[end - WINDOW]}-{run.epochs[end - 1]}"
