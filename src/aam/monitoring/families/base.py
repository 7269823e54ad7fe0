"""What a plot family is, and the facts that it draws from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from aam.config import DiagnosticsConfig
from aam.facts.reader import best, epoch_events, read_events

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RunFacts:
    """The facts of a run as they stood at its last ``moment``.

    Cutting them off there makes a figure the same whether it is drawn at once or years later.
    """

    run_dir: Path
    moment: str
    events: list[dict[str, Any]]
    thresholds: DiagnosticsConfig

    @classmethod
    def read(cls, run_dir: Path, moment: str, thresholds: DiagnosticsConfig) -> "RunFacts":
        """Read the facts of a run folder; no events if ``moment`` never came."""
        events = read_events(run_dir)
        last = max((i for i, event in enumerate(events) if event["moment"] == moment), default=-1)
        return cls(run_dir, moment, events[: last + 1], thresholds)

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """One event an epoch."""
        return epoch_events(self.events)

    @cached_property
    def epoch_numbers(self) -> NDArray[np.int64]:
        """Epochs as people count them, from 1."""
        return np.array([event["epoch"] + 1 for event in self.epochs], dtype=np.int64)

    @cached_property
    def best(self) -> dict[str, Any] | None:
        """The best epoch so far (counted from 0), its metric and value."""
        return best(self.events)

    @property
    def best_epoch(self) -> int | None:
        """The best epoch so far, counted from 1."""
        return self.best["epoch"] + 1 if self.best else None

    @property
    def label(self) -> str:
        """Which run this is, in small print."""
        return f"{self.run_dir.name} · loop={self.events[-1]['loop']}"

    def field(self, name: str) -> Values:
        """One field of every epoch, NaN where it is null."""
        return _floats([event[name] for event in self.epochs])

    def metric(self, split: str, name: str) -> Values:
        """One metric of every epoch, NaN where it is null."""
        return _floats([event["metrics"][split].get(name) for event in self.epochs])

    def metric_names(self) -> list[str]:
        """Every metric that some epoch has for training or validation, in order of appearance."""
        seen = {
            name: None
            for event in self.epochs
            for split in ("train", "val")
            for name in event["metrics"][split]
        }
        return list(seen)

    def artifact(self, name: str) -> Path | None:
        """File that the moment's event names, if it is there."""
        relative = self.events[-1]["artifacts"].get(name)
        path = self.run_dir / relative if relative else None
        return path if path is not None and path.is_file() else None


class Family(Protocol):
    """One kind of figure. When it is drawn stands in ``aam.monitoring.plan``."""

    name: ClassVar[str]

    def missing(self, facts: RunFacts) -> str:
        """Say which facts it lacks; empty if it can be drawn."""

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw it, within ``aam.monitoring.style.applied()``."""


def _floats(values: list[Any]) -> Values:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
