"""What is wrong with a run, judged from its losses: the one place that decides.

Console, figures and facts show these findings; none of them judges by itself. Every function is
pure. Losses are given from the first epoch on, one value an epoch; evidence counts epochs from 1.
A value that is NaN, infinite or None counts as not finite.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median, pstdev

from aam.config import DiagnosticsConfig

Loss = float | None
Finding = dict[str, str]

# The last epochs are compared with as many before them, by medians: one spike is no trend.
WINDOW = 3
# A gap grows when it has become larger by this share of the allowed gap: less is noise.
GROWTH = 0.25


def diagnose(
    train: Sequence[Loss], val: Sequence[Loss], thresholds: DiagnosticsConfig
) -> list[Finding]:
    """Judge the state of a run after its last epoch.

    Parameters
    ----------
    train, val
        Loss of every epoch so far. ``val`` is empty, or None throughout, without validation;
        plateau and instability are then judged by the training loss.

    Returns
    -------
    list
        ``{"kind", "evidence", "advice"}`` with kind nonfinite, overfitting, worsening, instability
        or plateau, the gravest first; empty for a healthy run.
    """
    run = Losses.of(train, val)
    limits = scaled(thresholds, train, val)
    found = (check(run, limits) for check in CHECKS)
    return [finding for finding in found if finding is not None]


@dataclass(frozen=True)
class Losses:
    """The losses of a run, not-finite values as NaN; ``val`` is None without validation."""

    train: list[float]
    val: list[float] | None

    @classmethod
    def of(cls, train: Sequence[Loss], val: Sequence[Loss]) -> "Losses":
        """Take losses as they come from the trainer or from facts."""
        absent = all(value is None for value in val)
        return cls(as_floats(train), None if absent else as_floats(val))

    @property
    def judged(self) -> list[float]:
        """The loss that decides on the model: that of the validation set where there is one."""
        return self.train if self.val is None else self.val

    @property
    def judged_name(self) -> str:
        """How the judged loss is called in a sentence."""
        return "training loss" if self.val is None else "validation loss"


def as_floats(values: Sequence[Loss]) -> list[float]:
    """Losses as floats, NaN in place of what is not finite."""
    return [
        float(value) if value is not None and math.isfinite(value) else math.nan for value in values
    ]


def scaled(
    thresholds: DiagnosticsConfig, train: Sequence[Loss], val: Sequence[Loss]
) -> DiagnosticsConfig:
    """Limits in the unit of the loss: in relative mode, multiplied by the loss at the start.

    That is the median of the first three finite losses of the judged split.
    """
    if not thresholds.relative:
        return thresholds
    start = [value for value in Losses.of(train, val).judged if math.isfinite(value)][:3]
    scale = abs(median(start)) if start else 1.0
    return replace(
        thresholds,
        relative=False,
        gap=thresholds.gap * scale,
        plateau_change=thresholds.plateau_change * scale,
        std=thresholds.std * scale,
        rise=thresholds.rise * scale,
    )


def rolling_std(values: Sequence[float], window: int) -> list[float]:
    """Population standard deviation of the last ``window`` values; NaN before there are so many."""
    return [
        math.nan if end < window else _pstdev(values[end - window : end])
        for end in range(1, len(values) + 1)
    ]


def is_unstable(last: Sequence[float], limit: float) -> bool:
    """Whether the last losses scatter by more than ``limit``; a steady fall is no scatter."""
    if not all(map(math.isfinite, last)) or pstdev(last) <= limit:
        return False
    return any(after >= before for before, after in pairwise(last))


def _pstdev(values: Sequence[float]) -> float:
    return pstdev(values) if all(map(math.isfinite, values)) else math.nan


def _check_finite(run: Losses, limits: DiagnosticsConfig) -> Finding | None:
    bad = [
        f"{name} loss in epoch {index + 1}"
        for name, values in (("training", run.train), ("validation", run.val or []))
        for index, value in enumerate(values)
        if math.isnan(value)
    ]
    if not bad:
        return None
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return _finding(
        "nonfinite",
        f"not a finite number: {', '.join(bad[:3])}{more}",
        "lower optimizer.lr by a factor of ten, or set trainer.max_grad_norm=1.0",
    )


def _check_overfitting(run: Losses, limits: DiagnosticsConfig) -> Finding | None:
    if run.val is None or min(len(run.train), len(run.val)) < 2 * WINDOW:
        return None
    gaps = [val - train for train, val in zip(run.train, run.val, strict=False)]
    if not all(map(math.isfinite, gaps[-2 * WINDOW :])):
        return None
    before, now = median(gaps[-2 * WINDOW : -WINDOW]), median(gaps[-WINDOW:])
    if min(gaps[-WINDOW:]) <= limits.gap or now - before <= GROWTH * limits.gap:
        return None
    last = len(gaps)
    return _finding(
        "overfitting",
        f"validation - training loss grew from {before:+.3g} (median of epochs {last - 5}-"
        f"{last - 3}) to {now:+.3g} (epochs {last - 2}-{last}), limit {limits.gap:.3g}",
        "keep the best model, not the last; raise optimizer.weight_decay or model.sample_dropout, "
        "or train a smaller model",
    )


def _check_worsening(run: Losses, limits: DiagnosticsConfig) -> Finding | None:
    values = run.val or []
    if len(values) < 2 * WINDOW or not all(map(math.isfinite, values[-2 * WINDOW :])):
        return None
    best = values.index(min(filter(math.isfinite, values)))
    before, now = median(values[-2 * WINDOW : -WINDOW]), median(values[-WINDOW:])
    is_old = len(values) - 1 - best >= limits.rise_epochs
    if not (is_old and now > before and now - values[best] > limits.rise):
        return None
    return _finding(
        "worsening",
        f"validation loss rises: median {now:.4g} of the last {WINDOW} epochs, {before:.4g} of the "
        f"{WINDOW} before, {values[best]:.4g} at its best in epoch {best + 1}",
        "more epochs will not help: lower optimizer.lr or early_stopping.patience",
    )


def _check_instability(run: Losses, limits: DiagnosticsConfig) -> Finding | None:
    last = run.judged[-limits.std_epochs :]
    if len(last) < limits.std_epochs or not is_unstable(last, limits.std):
        return None
    return _finding(
        "instability",
        f"{run.judged_name} jumps: standard deviation {pstdev(last):.3g} over the last "
        f"{len(last)} epochs ({', '.join(f'{value:.4g}' for value in last)})",
        "lower optimizer.lr, raise data.batch_size, or set trainer.max_grad_norm=1.0",
    )


def _check_plateau(run: Losses, limits: DiagnosticsConfig) -> Finding | None:
    last = run.judged[-limits.plateau_epochs - 1 :]
    changes = [abs(after - before) for before, after in pairwise(last)]
    if len(changes) < limits.plateau_epochs:
        return None
    if not all(change < limits.plateau_change for change in changes):
        return None
    return _finding(
        "plateau",
        f"{run.judged_name} stays at {last[-1]:.4g}: each of the last {len(changes)} changes is "
        f"below {limits.plateau_change:.3g}",
        "stop here, or go on with another optimizer.lr or a larger model",
    )


def _finding(kind: str, evidence: str, advice: str) -> Finding:
    return {"kind": kind, "evidence": evidence, "advice": advice}


CHECKS: tuple[Callable[[Losses, DiagnosticsConfig], Finding | None], ...] = (
    _check_finite,
    _check_overfitting,
    _check_worsening,
    _check_instability,
    _check_plateau,
)
