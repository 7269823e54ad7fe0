"""What a plot family is, and the facts that it draws from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from aam.config import DiagnosticsConfig
from aam.facts.reader import best, epoch_events, read_events
from aam.monitoring.scores import is_baseline, of_baselines
from aam.monitoring.style import SPLIT_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = NDArray[np.float64]
Moments = Mapping[str, str]
UNSUPERVISED = "unsupervised"
LR_FIND = "lr_find"


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
        return cls.of(read_events(run_dir), run_dir, moment, thresholds)

    @classmethod
    def of(
        cls,
        events: list[dict[str, Any]],
        run_dir: Path,
        moment: str,
        thresholds: DiagnosticsConfig,
    ) -> "RunFacts":
        """Take the events of a run folder that were read before."""
        last = max((i for i, event in enumerate(events) if event["moment"] == moment), default=-1)
        return cls(run_dir, moment, events[: last + 1], thresholds)

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """One event an epoch."""
        return epoch_events(self.events)

    @property
    def lacks_curves(self) -> str:
        """Say why there is no curve to draw; empty if there is one."""
        if self.epochs and self.epochs[-1]["loop"] == LR_FIND:
            return "the run looked for a learning rate, without epochs"
        if self.epochs and self.epochs[-1]["step"] == 0:
            return "the model was fitted at once, without epochs"
        return ""

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
        """Which run this is, in small print: by its facts, wherever its folder lies now."""
        last = self.events[-1]
        return f"{Path(last['run_dir'] or self.run_dir).name} · loop={last['loop']}"

    @cached_property
    def starts(self) -> list[dict[str, Any]]:
        """The events that began the run or went on with it, the newest first."""
        return [event for event in reversed(self.events) if event["meta"] is not None]

    @property
    def target(self) -> dict[str, Any] | None:
        """What the run predicts (``meta.target``); None where it learns without labels."""
        target: dict[str, Any] | None = (
            self.starts[0]["meta"].get("target") if self.starts else None
        )
        return target

    @property
    def split(self) -> str:
        """Which samples the moment judges: ``test`` or ``val``."""
        return "test" if self.moment == "on_test_end" else "val"

    @property
    def split_label(self) -> str:
        """Which samples, and by which epoch's model: ``validation set, best epoch 27``."""
        name = f"{SPLIT_NAMES[self.split]} set"
        return f"{name}, best epoch {self.best_epoch}" if self.best_epoch else name

    def scores(self) -> dict[str, float | None]:
        """The metrics of :attr:`split` at the moment."""
        scores: dict[str, float | None] = self.events[-1]["metrics"][self.split]
        return scores

    def baselines(self, split: str) -> dict[str, dict[str, float | None]]:
        """Metrics of each baseline: the test's come with its event, all others with the start's."""
        events = [self.events[-1]] if split == "test" else self.starts[:1]
        known = [*self.metric_names(), *self.events[-1]["metrics"][split]]
        known = [name for name in known if not is_baseline(name)]
        return of_baselines(events[0]["metrics"][split], known) if events else {}

    def field(self, name: str) -> Values:
        """One field of every epoch, NaN where it is null."""
        return _floats([event[name] for event in self.epochs])

    def metric(self, split: str, name: str) -> Values:
        """One metric of every epoch, NaN where it is null."""
        return _floats([event["metrics"][split].get(name) for event in self.epochs])

    def metric_names(self) -> list[str]:
        """Metrics that some epoch has for training or validation, in order of appearance.

        Those of baselines, which know no epochs, are none of them.
        """
        seen = {
            name: None
            for event in self.epochs
            for split in ("train", "val")
            for name in event["metrics"][split]
            if not is_baseline(name)
        }
        return list(seen)

    def artifact(self, name: str) -> Path | None:
        """File that the moment's event names, or else the start of the run; None if not there."""
        for event in (self.events[-1], *self.starts):
            if name in event["artifacts"]:
                path = self.run_dir / event["artifacts"][name]
                return path if path.is_file() else None
        return None


class Family(Protocol):
    """One kind of figure. In which configurations it is drawn stands in ``aam.monitoring.plan``."""

    name: ClassVar[str]
    kind: ClassVar[str | None]
    """The one kind of run that it is for: ``regression``, ``classification``, ``UNSUPERVISED`` or
    ``LR_FIND``; None where it is for any but the last."""
    moments: ClassVar[Moments]
    """The moments that it answers, and what the file of each is called, without the ending."""

    def missing(self, facts: RunFacts) -> str:
        """Say which facts it lacks; empty if it can be drawn."""

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw it, within ``aam.monitoring.style.applied()``."""


def _floats(values: list[Any]) -> Values:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
