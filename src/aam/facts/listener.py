"""What hears the facts of a run while it goes on: progress, TensorBoard, figures."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training stands within an epoch.

    ``epoch`` counts from 0, ``step`` from 1. ``values`` holds what the bar shows, by plain name:
    ``total_loss``, ``unifrac_loss``, ``nuc_loss``, ``lr``.
    """

    epoch: int
    num_epochs: int
    step: int
    num_steps: int
    values: dict[str, float]


class Listener(Protocol):
    """Hears every event after it is on disk, and every step.

    A listener that raises is reported once, closed and dropped; the training goes on. It must not
    change the event, which all listeners share.
    """

    def on_event(self, event: dict[str, Any]) -> None:
        """Hear one event of the facts (``events.schema.json``)."""

    def on_progress(self, progress: Progress) -> None:
        """Hear that a training step is done. Called often: return at once."""

    def close(self) -> None:
        """Finish and release what is held; called once."""
