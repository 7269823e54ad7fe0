"""The numbers of a run so far, as the checks need them: taken in one epoch after the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from aam.config import DiagnosticsConfig

# The last epochs are compared with as many before them, by medians: one spike is no trend.
WINDOW = 3
# The rate has risen when it is this near to the highest so far.
_RISEN = 0.9
# An epoch that went astray at once says little of the size of the loss.
_ASTRAY = 10.0

# A validation loss this far below the training loss of its epoch was learned within that epoch.
_LEARNED = 0.5
# Gradients that have shrunk to this share, or grown as much, are those of a model that was thrown
# off, of which more is asked.
_VANISHED, _THROWN_OFF = 0.1, 5.0

_WATCHED = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "metrics.train.grad_norm": "gradient norm",
}


@dataclass(frozen=True)
class Level:
    """The lowest median of three losses in a row."""

    value: float = math.inf
    end: int = 0
    """Index of the last of the three."""

    def lowered(self, losses: Sequence[float]) -> "Level":
        """This, or what the last three losses are, if that is lower."""
        last = losses[-WINDOW:]
        if len(last) < WINDOW or not all_finite(last) or median(last) >= self.value:
            return self
        return Level(median(last), len(losses) - 1)


class History:
    """One entry an epoch in each list; NaN for a number that is absent or not finite.

    :meth:`add` takes constant time.
    """

    def __init__(self) -> None:
        self.epochs: list[int] = []
        """Counted from 1."""
        self.train: list[float] = []
        self.val: list[float] = []
        self.norms: list[float] = []
        """Gradient norms, each the mean over the updates of an epoch."""
        self.rates: list[float] = []
        """Learning rates at the end of the epochs."""
        self.steps: list[int] = []
        """Updates so far."""
        self.nonfinite: list[str] = []
        """What was not finite in the newest epoch, in words."""
        self.has_validation = False
        self.best: int | None = None
        """Index of the lowest judged loss."""
        self.levels: list[Level] = []
        """The lowest level of the judged losses up to each epoch."""
        self.lowest_train = Level()
        self.highest_rate = 0.0
        self.risen = 0
        """Index of the first epoch whose rate was near the highest so far: the warmup is over."""

    def add(self, fact: Mapping[str, Any]) -> None:
        """Take in the fact of the next epoch, as the engine gives it or as a reader finds it."""
        norm = fact.get("metrics", {}).get("train", {}).get("grad_norm")
        values = (fact["train_loss"], fact["val_loss"], norm)
        told = fact.get("nonfinite", ())
        self.nonfinite = [
            words
            for (name, words), value in zip(_WATCHED.items(), values, strict=True)
            if name in told or (value is not None and not math.isfinite(value))
        ]
        self.has_validation |= fact["val_loss"] is not None or "val_loss" in told
        for numbers, value in zip((self.train, self.val, self.norms), values, strict=True):
            numbers.append(as_float(value))
        self.rates.append(as_float(fact.get("lr")))
        self.steps.append(fact.get("step") or 0)
        self.epochs.append(fact["epoch"] + 1)
        self._follow()

    @property
    def judged(self) -> list[float]:
        """The loss that decides on the model: that of the validation set where there is one."""
        return self.val if self.has_validation else self.train

    @property
    def judged_name(self) -> str:
        """How the judged loss is called in a sentence."""
        return "validation loss" if self.has_validation else "training loss"

    @property
    def lowest(self) -> Level:
        """The lowest level of the judged losses."""
        return self.levels[-1]

    @property
    def start(self) -> float:
        """The size of the loss at the start: the training loss of the first epoch.

        That is near the loss of a model that has learned nothing. It counts no more than ten times
        the median of the first three judged losses, should the first epoch have gone astray.
        """
        first = next(filter(math.isfinite, self.train), math.nan)
        sizes = (abs(first), _ASTRAY * abs(median_of(self.judged[:WINDOW])))
        return min((size for size in sizes if 0 < size < math.inf), default=1.0)

    @property
    def first(self) -> tuple[str, float]:
        """The lower loss of the first epoch, with its name: what a model must fall below."""
        losses = {"training loss": self.train[0], self.judged_name: self.judged[0]}
        finite = {name: loss for name, loss in losses.items() if math.isfinite(loss)}
        return min(finite.items(), key=lambda item: item[1], default=("loss", math.nan))

    @property
    def is_thrown_off(self) -> bool:
        """Whether gradients have vanished or grown since the first epoch."""
        before, now = self.norms[0], self.norms[-1]
        return now < _VANISHED * before or now * _VANISHED > before

    def least_fall(self, limits: DiagnosticsConfig) -> float:
        """By how much a loss must fall below :attr:`first` before it counts as learned.

        More than otherwise of a model that was thrown off: that finds the mean of its targets yet.
        """
        _, first = self.first
        return limits.flat * abs(first) * (_THROWN_OFF if self.is_thrown_off else 1.0)

    def has_learned(self, limits: DiagnosticsConfig) -> bool:
        """Whether some loss has fallen since, or plainly within, the first epoch."""
        _, first = self.first
        lowest = min(self.lowest.value, self.lowest_train.value)
        is_below = lowest < first - self.least_fall(limits)
        return is_below or self.judged[0] < _LEARNED * self.train[0]

    def _follow(self) -> None:
        now, loss = len(self.epochs) - 1, self.judged[-1]
        # A validation that began late has no loss where training was best.
        if math.isfinite(loss) and (self.best is None or not self.judged[self.best] <= loss):
            self.best = now
        self.levels.append((self.levels[-1] if self.levels else Level()).lowered(self.judged))
        self.lowest_train = self.lowest_train.lowered(self.train)
        if self.rates[now] > self.highest_rate:
            self.highest_rate = self.rates[now]
            while not self.rates[self.risen] >= _RISEN * self.highest_rate:
                self.risen += 1


def as_float(value: float | None) -> float:
    """The number, NaN in place of what is absent or not finite."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def all_finite(values: Sequence[float]) -> bool:
    """Whether no value is absent, NaN or infinite."""
    return all(map(math.isfinite, values))


def median_of(values: Sequence[float]) -> float:
    """The median of what is finite; NaN if nothing is."""
    return median(finite) if (finite := [v for v in values if math.isfinite(v)]) else math.nan
