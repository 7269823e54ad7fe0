"""Training and validation loss, and the parts that it is the sum of."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.monitoring import style
from aam.monitoring.families.base import Moments, RunFacts, Values
from aam.monitoring.families.panels import (
    draw_splits,
    gap_note,
    judged,
    legend_entries,
    splits_of,
    total_losses,
    up_to,
    write_best,
)
from aam.monitoring.scores import is_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a loss is a number of; that of a target depends on the task.
UNITS = {
    "unifrac_loss": "mean squared error",
    "nuc_loss": "nats a base",
    "faith_pd_loss": "mean squared error",
    "regression": "error of transformed values",
    "classification": "cross entropy in nats",
}


def loss_parts(facts: RunFacts) -> list[str]:
    """Names of the losses that make up the total."""
    return [name for name in facts.metric_names() if is_loss(name) and name != "total_loss"]


class Losses:
    """Total loss large, its parts beside it."""

    name: ClassVar[str] = "losses"
    kind: ClassVar[str | None] = None
    moments: ClassVar[Moments] = {
        "on_epoch_end": "losses-on_epoch_end",
        "on_validation_improved": "losses-on_validation_improved",
    }

    def missing(self, facts: RunFacts) -> str:
        """Need one epoch with a finite loss."""
        return facts.lacks_curves or ("" if total_losses(facts) else "no epoch with a finite loss")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw the total on the left, the parts in columns of two on the right."""
        total = total_losses(facts)
        parts = {name: splits_of(facts, name) for name in loss_parts(facts)}
        parts = {name: curves for name, curves in parts.items() if curves}
        only = next((name for name, curves in parts.items() if _are_equal(curves, total)), None)
        if only is not None:  # it would be drawn twice
            parts = {}
        columns = (len(parts) + 1) // 2
        label = facts.label + gap_note([total, *parts.values()])
        figure = style.new_figure(7.5 + 3.8 * columns, 6, f"Losses {up_to(facts)}", label)
        grid = figure.add_gridspec(2, 1 + columns, width_ratios=[2.0] + [1.0] * columns)
        for index, (name, curves) in enumerate(parts.items()):
            alone = index % 2 == 0 and index == len(parts) - 1
            rows = slice(0, 2) if alone else index % 2
            part = figure.add_subplot(grid[rows, 1 + index // 2])
            _draw_panel(part, facts, curves, style.name_of(name), unit_of(facts, name))
        unit = unit_of(facts, only) if only else "weighted sum of the parts" if parts else ""
        _draw_panel(figure.add_subplot(grid[:, 0]), facts, total, "Total loss", unit)
        style.legend_above(figure, legend_entries(facts, list(total)))
        return figure


def unit_of(facts: RunFacts, loss: str) -> str:
    """What a loss is a number of; empty if it has no name here."""
    if loss == "target_loss" and facts.target is not None:
        loss = facts.target["task"]
    return UNITS.get(loss, "")


def _draw_panel(
    axes: "Axes", facts: RunFacts, curves: dict[str, Values], title: str, unit: str
) -> None:
    draw_splits(axes, facts, curves)
    style.loss_scale(axes, np.concatenate(list(curves.values())))
    axes.set_title(title)
    write_best(axes, facts, judged(curves))
    notes = [unit, "(log scale)" if axes.get_yscale() == "log" else ""]
    axes.set_ylabel("\n".join(note for note in notes if note), fontsize=13)


def _are_equal(one: dict[str, Values], other: dict[str, Values]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(values, other[split], equal_nan=True) for split, values in one.items()
    )
