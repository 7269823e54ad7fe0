"""What a loop has built before anything is trained: for its training, or for a look at it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from aam.config import Config
from aam.data.batches import BatchMaker
from aam.data.splits import Split
from aam.loops.beside import Beside
from aam.training.task import Task


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A task, and what ``aam.loops.session.train`` has to know of it."""

    task: Task
    config: Config
    device: torch.device
    maker: BatchMaker
    split: Split
    metric_names: Sequence[str]
    inputs: Mapping[str, Path]
    num_samples: Mapping[str, int]
    beside: Beside | None = None
    """What a supervised loop adds: the target and its baselines."""
    lr_scales: Mapping[str, float] | None = None
    """Shares of the learning rate, for parameters whose names begin so."""
    finish: Callable[[int], None] | None = None
    """Called with the best epoch (from 1) when the best model is in place, in eval mode, and before
    it is tested."""

    @property
    def steps_an_update(self) -> int:
        """How many batches add up to an update."""
        return min(self.config.trainer.accumulate, self.task.num_steps())

    @property
    def updates_an_epoch(self) -> int:
        """The last one may be of fewer batches."""
        return -(-self.task.num_steps() // self.steps_an_update)
