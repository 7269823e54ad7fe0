"""TensorBoard: scalars of every epoch, with training and validation in one chart."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aam.facts.listener import Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Listener that writes tags ``train/x``, ``val/x``, ``test/x`` and ``lr``.

    TensorBoard's step is the epoch, counted from 1.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "tensorboard"
        self._purge_step: int | None = None
        self._writer: SummaryWriter | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        """Write the scalars of an epoch or of the test."""
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

    def _open(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
        return self._writer


def scalars_of(event: dict[str, Any], splits: tuple[str, ...]) -> dict[str, float]:
    """Tags and values of an event; what is null is left out."""
    values: dict[str, float | None] = {
        f"{split}/{name}": value
        for split in splits
        for name, value in event["metrics"][split].items()
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
