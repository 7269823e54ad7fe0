"""TensorBoard: scalars of every epoch, with training and validation in one chart."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aam.config import DiagnosticsConfig, LoggingConfig
from aam.facts.listener import Progress
from aam.monitoring import style
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import RunFacts
from aam.monitoring.plan import kind_of
from aam.monitoring.scores import of_model

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


Parameters = Callable[[], Iterable[tuple[str, Any]]]
PREDICTION_PLOT = "validation/prediction_plot"
PREDICTION_FAMILIES = {"regression": "pred_vs_actual", "classification": "confusion_matrix"}


class TensorBoard:
    """Listener that writes tags ``train/x``, ``val/x``, ``test/x`` and ``lr``.

    TensorBoard's step is the epoch, counted from 1. Baselines, which know no epochs, are no curves.
    A run that predicts something has, once it is trained, the figure of its best validation as
    ``validation/prediction_plot``: drawn at each improvement, it would hold up the training.
    """

    def __init__(
        self, run_dir: Path, logging: LoggingConfig, parameters: Parameters | None = None
    ) -> None:
        self._run_dir = run_dir
        self._kind = kind_of([])
        self._folder = run_dir / "tensorboard"
        self._purge_step: int | None = None
        self._writer: SummaryWriter | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        """Write the scalars of an epoch or of the test, and the figure at the end of training."""
        if event["meta"] is not None:
            self._kind = kind_of([event])
        if event["moment"] == "on_resume":
            # Points from there on are written again.
            self._purge_step = event["epoch"] + 1
        elif event["moment"] == "on_epoch_end":
            scalars = scalars_of(event, ("train", "val"))
            if self._writer is None:
                self._open().add_custom_scalars(layout(list(scalars)))
            self._add(scalars, event["epoch"] + 1)
        elif event["moment"] == "on_test_end":
            self._add(scalars_of(event, ("test",)), (event["epoch"] or 0) + 1)

        elif event["moment"] == "on_train_end" and self._kind in PREDICTION_FAMILIES:
            self._add_figure(PREDICTION_FAMILIES[self._kind])

    def on_progress(self, progress: Progress) -> None:
        """Steps are too many to write."""

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, scalars: dict[str, float], step: int) -> None:
        writer = self._open()
        for tag, value in scalars.items():
            writer.add_scalar(tag, value, step)
        writer.flush()

    def _add_figure(self, family_name: str) -> None:
        """Draw as the drawing process does, from the facts on disk."""
        family = FAMILIES[family_name]
        facts = RunFacts.read(self._run_dir, "on_validation_improved", DiagnosticsConfig())
        if not facts.events or family.missing(facts):
            return
        with style.applied():
            figure = family.draw(facts)
            step = facts.best_epoch or 0
            self._open().add_figure(PREDICTION_PLOT, figure, step, close=False)
        self._open().flush()

    def _open(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
        return self._writer


def scalars_of(event: dict[str, Any], splits: tuple[str, ...]) -> dict[str, float]:
    """Tags and values of an event; what is null, or a baseline's, is left out."""
    values: dict[str, float | None] = {
        f"{split}/{name}": value
        for split in splits
        for name, value in of_model(event["metrics"][split]).items()
    }
    for split in set(splits) & {"train", "val"}:
        values.setdefault(f"{split}/total_loss", event[f"{split}_loss"])
    values["lr"] = event["lr"]
    return {tag: value for tag, value in values.items() if value is not None}


def layout(tags: list[str]) -> dict[str, dict[str, tuple[str, list[str]]]]:
    """Layout for the Custom Scalars tab: a chart per metric that holds both splits."""
    charts: dict[str, dict[str, tuple[str, list[str]]]] = {"Losses": {}, "Metrics": {}}
    for name in dict.fromkeys(tag.partition("/")[2] for tag in tags if "/" in tag):
        category = "Losses" if name.endswith("loss") else "Metrics"
        # TensorBoard takes tags for regular expressions that match from the start.
        both = [f"^{split}/{re.escape(name)}$" for split in ("train", "val")]
        charts[category][name] = ("Multiline", both)
    return {category: of_names for category, of_names in charts.items() if of_names}
