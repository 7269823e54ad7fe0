"""What a run's events amount to so far: its curves, and the best epoch."""

from collections.abc import Iterable, Mapping
from typing import Any

_Point = tuple[float | None, float | None, float | None]
_NAMES = ("train_loss", "val_loss", "lr")


class Curves:
    """Losses and learning rates by epoch, and ``best`` as the newest event has it."""

    def __init__(self) -> None:
        self._points: dict[int, _Point] = {}
        self._best: Mapping[str, Any] | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Go on by one event."""
        if event["moment"] == "on_epoch_end":
            self._points[event["epoch"]] = _point(event)
        if event["best"] is not None:
            self._best = event["best"]

    def restore(self, epochs: Iterable[Mapping[str, Any]], best: Mapping[str, Any] | None) -> None:
        """Start anew from the epochs that a resume leaves."""
        self._points = {event["epoch"]: _point(event) for event in epochs}
        self._best = best

    def history(self) -> dict[str, list[float | None]]:
        """Curve → its values in the order of epochs."""
        points = [self._points[epoch] for epoch in sorted(self._points)]
        return {name: [point[index] for point in points] for index, name in enumerate(_NAMES)}

    def training_metrics(self) -> dict[str, Any]:
        """The content of ``training_metrics.json``; its ``best_epoch`` counts from 1."""
        history = self.history()
        best_epoch = best_val_loss = None
        if self._best is not None:
            best_epoch = self._best["epoch"]
            _, best_val_loss, _ = self._points.get(best_epoch, (None, None, None))
        return {
            "train_loss": history["train_loss"],
            "val_loss": history["val_loss"],
            "best_epoch": None if best_epoch is None else best_epoch + 1,
            "best_val_loss": best_val_loss,
        }


def _point(event: Mapping[str, Any]) -> _Point:
    return event["train_loss"], event["val_loss"], event["lr"]
