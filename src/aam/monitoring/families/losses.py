"""Training and validation loss, and the parts that it is the sum of."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.monitoring import style
from aam.monitoring.families.base import RunFacts
from aam.monitoring.families.panels import draw_splits, legend_entries, splits_of, total_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def loss_parts(facts: RunFacts) -> list[str]:
    """Names of the losses that make up the total."""
    return [n for n in facts.metric_names() if n.endswith("_loss") and n != "total_loss"]


class Losses:
    """Total loss large, its parts beside it."""

    name: ClassVar[str] = "losses"

    def missing(self, facts: RunFacts) -> str:
        """Need one epoch with a finite loss."""
        return facts.lacks_curves or ("" if total_losses(facts) else "no epoch with a finite loss")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw the total on the left, the parts in columns of two on the right."""
        curves = total_losses(facts)
        parts = [(name, splits_of(facts, name)) for name in loss_parts(facts)]
        parts = [(name, of_splits) for name, of_splits in parts if of_splits]
        columns = (len(parts) + 1) // 2
        figure = style.new_figure(
            7.5 + 3.8 * columns, 6, f"Losses after epoch {facts.epoch_numbers[-1]}", facts.label
        )
        if not parts:
            main = figure.subplots()
        else:
            grid = figure.add_gridspec(2, 1 + columns, width_ratios=[2.0] + [1.0] * columns)
            main = figure.add_subplot(grid[:, 0])
            for index, (name, of_splits) in enumerate(parts):
                alone = index % 2 == 0 and index == len(parts) - 1
                rows = slice(0, 2) if alone else index % 2
                part = figure.add_subplot(grid[rows, 1 + index // 2])
                self._panel(part, facts, of_splits, style.name_of(name))
        self._panel(main, facts, curves, "Total loss")
        style.legend_above(figure, legend_entries(facts, list(curves)))
        return figure

    @staticmethod
    def _panel(axes: "Axes", facts: RunFacts, curves: dict[str, np.ndarray], title: str) -> None:
        draw_splits(axes, facts, curves)
        style.loss_scale(axes, np.concatenate(list(curves.values())))
        axes.set_title(title + (" (log scale)" if axes.get_yscale() == "log" else ""))
