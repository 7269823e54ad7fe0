"""What to do about a finding: a reason, and at its end a command that can be run as it stands."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aam.monitoring.diagnostics.history import WINDOW, History, median_of
from aam.monitoring.diagnostics.plan import Plan

_OWN_RISE = ("onecycle",)
"""Choices of scheduler that have no ``scheduler.warmup_steps``."""
_LONGER = 1.5
"""A shorter run is planned this many times as long as the epochs that were of use."""

_RECENT = 50


@dataclass(frozen=True)
class Case:
    """What an advice is computed from."""

    run: History
    plan: Plan
    since: Mapping[str, int] = field(default_factory=dict)
    """By kind, the index of the epoch in which a finding that holds was first found."""
    also: Mapping[str, object] = field(default_factory=dict)
    """What a run that is over needs to go on at all."""

    @property
    def rate(self) -> float:
        """The learning rate of the optimizer's config, or the highest there was; 0 if unknown."""
        return self.plan.lr or self.run.highest_rate

    def go_on(self, reason: str, changes: Mapping[str, object]) -> str:
        """Advise to go on with the run, changed."""
        return f"{reason}: {self.plan.go_on({**changes, **self.also})}"

    def start_anew(self, reason: str, changes: Mapping[str, object]) -> str:
        """Advise to begin a run like it, changed."""
        return f"{reason}: {self.plan.start_anew(changes)}"

    def lower(self, by: float) -> dict[str, object]:
        """A lower learning rate; where no rate is known, clipped gradients instead."""
        return {"optimizer.lr": self.rate / by} if self.rate else {"trainer.max_grad_norm": 1}


def _nonfinite(case: Case) -> str:
    begin = "go on from the last good epoch" if len(case.run.epochs) > 1 else "begin again"
    return case.go_on(f"{begin} at a tenth of the rate", case.lower(10))


def _exploding(case: Case) -> str:
    return case.start_anew("start anew at a tenth of the rate", case.lower(10))


def _learning_rate(case: Case) -> str:
    if case.run.is_thrown_off or not case.rate:
        return case.start_anew("start anew at a tenth of the rate", case.lower(10))
    return case.go_on("go on at ten times the rate", {"optimizer.lr": 10 * case.rate})


def _overfitting(case: Case) -> str:
    best = case.run.best
    if best is not None and len(case.run.epochs) - best > WINDOW:
        return _shorter(case, best)
    return case.start_anew(
        "go on while the validation loss falls; a run with more weight decay",
        {"optimizer.weight_decay": 0.1},
    )


def _worsening(case: Case) -> str:
    run, best = case.run, case.run.best
    rise, rise_of_training = (
        median_of(losses[-WINDOW:]) - lowest.value
        for losses, lowest in ((run.judged, run.lowest), (run.train, run.lowest_train))
    )
    if best is not None and rise_of_training < rise / 2:
        return _shorter(case, best)
    return case.go_on("go on at a third of the rate", case.lower(3))


def _shorter(case: Case, best: int) -> str:
    """A run whose rate has fallen when it comes to where this one was best, or began to overfit.

    Of ``loop=mlp`` on the demo data, which overfits from epoch 8 on, the best validation loss was
    0.0256 in 60 epochs, 0.0248 in 40, 0.0234 in 12, and with a third of the rate or a hundredfold
    weight decay no better.
    """
    kept = f"the best model, of epoch {case.run.epochs[best]}, is kept; a run"
    turn = min(best, case.since.get("overfitting", best))
    epochs = max(WINDOW, math.ceil(_LONGER * (turn + 1)))
    if case.plan.num_epochs is not None and epochs >= case.plan.num_epochs:
        return case.start_anew(f"{kept} with more weight decay", {"optimizer.weight_decay": 0.1})
    return case.start_anew(f"{kept} that is over sooner", {"trainer.epochs": epochs})


def _short_warmup(case: Case) -> str:
    run, plan = case.run, case.plan
    steps = 3 * run.steps[run.risen]
    planned = (plan.num_epochs or 0) * run.steps[0] // run.epochs[0]
    can_warm_up = plan.is_per_update and plan.scheduler not in (None, *_OWN_RISE)
    if can_warm_up and 0 < steps <= planned // 10:  # it is never longer than that
        return case.start_anew("start anew and warm up longer", {"scheduler.warmup_steps": steps})
    return case.start_anew("start anew at half the rate", case.lower(2))


def _instability(case: Case) -> str:
    return case.go_on("go on at half the rate", case.lower(2))


def _gradient_spikes(case: Case) -> str:
    usual, limit = median_of(case.run.norms[-_RECENT:]), case.plan.max_grad_norm
    if limit is not None and limit <= usual:
        return case.go_on(f"clipped at {limit:g} already; go on at half the rate", case.lower(2))
    return case.go_on("clip gradients at their usual norm", {"trainer.max_grad_norm": usual})


def _plateau(case: Case) -> str:
    return case.go_on("stop here, or go on at a third of the rate", case.lower(3))


ADVICE: dict[str, Callable[[Case], str]] = {
    "nonfinite": _nonfinite,
    "exploding": _exploding,
    "learning_rate": _learning_rate,
    "overfitting": _overfitting,
    "worsening": _worsening,
    "short_warmup": _short_warmup,
    "instability": _instability,
    "gradient_spikes": _gradient_spikes,
    "plateau": _plateau,
}
