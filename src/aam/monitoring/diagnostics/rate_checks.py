"""What tells of the learning rate: not finite, exploding, flat, gradient spikes, a short warmup.

Checks are as in :mod:`aam.monitoring.diagnostics.curve_checks`.
"""

import math

from aam.config import DiagnosticsConfig
from aam.monitoring.diagnostics.history import WINDOW, History, all_finite, median_of

# The usual gradient norm of an epoch is that of so many epochs before it; no fewer will do.
_USUAL, _FEWEST = 10, 5
# Below this share of the norm at the start, gradients may jump as they like.
_SMALL = 0.1


def nonfinite(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """A loss or the gradient norm of the newest epoch is NaN or infinite."""
    return f"{' and '.join(run.nonfinite)} not finite" if run.nonfinite else None


def exploding(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """The training loss has risen far above the size it had at the start.

    It holds on until the loss is plainly below those of the first epoch again.
    """
    losses, (name, first) = run.train, run.first
    if not math.isfinite(first):
        return None
    if since is None:
        rises = len(losses) > 1 and losses[-1] > losses[-2]
        if not (rises and losses[-1] > limits.explosion * run.start):
            return None
    elif not losses[-1] > first - run.least_fall(limits):
        return None
    begun = len(losses) - 1 if since is None else since
    now = "" if begun == len(losses) - 1 else f" and is {losses[-1]:.4g} now"
    return (
        f"training loss rose to {losses[begun]:.4g} in epoch {run.epochs[begun]}{now}; "
        f"{name} of epoch {run.epochs[0]}: {first:.4g}"
    )


def learning_rate(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """Nothing was learned since the first epoch, though the warmup is over."""
    if len(run.epochs) - 1 - run.risen < limits.flat_epochs or run.has_learned(limits):
        return None
    name, first = run.first
    lowest = min(run.lowest.value, run.lowest_train.value)
    if not (math.isfinite(first) and math.isfinite(lowest)):
        return None
    parts = [
        f"nothing is learned: lowest loss {lowest:.4g}, {name} of epoch {run.epochs[0]} "
        f"{first:.4g}",
        _change("gradient norm", run.norms[0], run.norms[-1]),
        f"the learning rate is too {'high' if run.is_thrown_off else 'low'}",
    ]
    return "; ".join(filter(None, parts))


def gradient_spikes(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """The gradient norm of one of the last epochs, the warmup's aside, was far above the usual."""
    end = len(run.norms)
    first = max(run.risen + WINDOW, end - limits.spike_epochs)
    at = [index for index in range(first, end) if _is_spike(run, limits, index)]
    if not at:
        return None
    spikes = ", ".join(f"{run.norms[i]:.3g} in epoch {run.epochs[i]}" for i in at)
    return f"gradient norm {spikes}; usual is {usual_norm(run, at[-1]):.3g}"


def short_warmup(run: History, limits: DiagnosticsConfig, since: int | None) -> str | None:
    """The training loss or the gradient norm jumped as the learning rate came to its peak.

    It holds on until the loss is back where it was.
    """
    now = len(run.epochs) - 1
    begun = now if since is None else since
    past = slice(max(0, begun - _USUAL), begun)
    before = min(filter(math.isfinite, run.train[past]), default=math.nan)
    usual = median_of(run.norms[past])
    if since is None:
        jumps = run.train[now] - before > limits.jump or run.norms[now] > limits.spike * usual
        if not jumps or now >= run.risen + WINDOW or not run.highest_rate > 0:
            return None
    elif now > run.risen + _USUAL or not run.train[now] > before:
        return None
    parts = [
        f"as the learning rate came to {run.highest_rate:.2g}",
        _change("training loss", before, run.train[begun]),
        _change("gradient norm", usual, run.norms[begun]),
    ]
    return ", ".join(filter(None, parts))


def usual_norm(run: History, index: int) -> float:
    """The median gradient norm of the epochs before one; NaN where they are too few."""
    past = run.norms[max(0, index - _USUAL) : index]
    return median_of(past) if len(past) >= _FEWEST else math.nan


def _change(what: str, before: float, after: float) -> str:
    """From what to what; empty where that is not known."""
    if not all_finite((before, after)):
        return ""
    return f"{what} went from {before:.4g} to {after:.4g}"


def _is_spike(run: History, limits: DiagnosticsConfig, index: int) -> bool:
    norm = run.norms[index]
    is_large = norm > _SMALL * median_of(run.norms[:WINDOW])
    return is_large and norm > limits.spike * usual_norm(run, index)
