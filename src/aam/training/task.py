"""What a loop gives to the engine: something to train, step by step, and to judge."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """What a training step gives back."""

    loss: Tensor  # scalar, with gradient
    parts: Mapping[str, Tensor]  # named losses and figures, scalars
    sample_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a validation gives back: figures, and tables that are kept where they are the best."""

    metrics: Mapping[str, float]  # ``total_loss`` among them
    tables: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)


class Task(Protocol):
    """What a loop gives to the engine."""

    @property
    def model(self) -> nn.Module:
        """What is trained, on its device."""

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of what ``evaluate`` gives."""

    def num_steps(self) -> int:
        """Training batches an epoch."""

    def training_batches(self, epoch: int, done: int) -> Iterable[Any]:
        """The batches of an epoch but for the first ``done``.

        The same for the same epoch, however the run got there: whatever is drawn for a batch comes
        from (seed, epoch, step), and not from the draw before it.
        """

    def step(self, batch: Any) -> StepOutput:
        """Forward pass and losses of one training batch."""

    def evaluate(self, split: str) -> Evaluation | None:
        """Figures of ``val`` or ``test`` in eval mode; None if that split is empty."""
