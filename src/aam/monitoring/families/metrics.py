"""Every metric that is no loss, each in a small panel of its own."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.monitoring import style
from aam.monitoring.families.base import RunFacts, Values
from aam.monitoring.families.panels import (
    draw_reference,
    draw_splits,
    legend_entries,
    splits_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Metrics:
    """Small multiples: one panel a metric, and the learning rate."""

    name: ClassVar[str] = "metrics"

    def missing(self, facts: RunFacts) -> str:
        """Need one epoch with a metric."""
        return facts.lacks_curves or (
            "" if self._panels(facts) else "no epoch with a metric other than losses"
        )

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw the panels, at most three in a row."""
        panels = self._panels(facts)
        rate = facts.field("lr")
        num_panels = len(panels) + int(np.isfinite(rate).any())
        columns = min(3, num_panels)
        rows = -(-num_panels // columns)
        figure = style.new_figure(
            4.6 * columns,
            3.3 * rows + 1.0,
            f"Metrics after epoch {facts.epoch_numbers[-1]}",
            facts.label,
        )
        every = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, curves) in zip(every, panels.items(), strict=False):
            draw_splits(axes, facts, curves)
            num_off = style.focus(axes, np.concatenate(list(curves.values())))
            draw_reference(axes, facts, name)
            axes.set_title(style.name_of(name) + (f" ({num_off} off the axis)" if num_off else ""))
        if num_panels > len(panels):
            _draw_rate(every[len(panels)], facts, rate)
        for axes in every[num_panels:]:
            axes.remove()
        drawn = {split for curves in panels.values() for split in curves}
        style.legend_above(
            figure, legend_entries(facts, [s for s in ("train", "val") if s in drawn])
        )
        return figure

    @staticmethod
    def _panels(facts: RunFacts) -> dict[str, dict[str, Values]]:
        names = [name for name in facts.metric_names() if not name.endswith("_loss")]
        panels = {name: splits_of(facts, name) for name in names}
        return {name: curves for name, curves in panels.items() if curves}


def _draw_rate(axes: "Axes", facts: RunFacts, rate: Values) -> None:
    """Draw the learning rate in a unit that leaves short numbers on the axis."""
    highest = float(np.nanmax(np.abs(rate)))
    unit = 10.0 ** np.floor(np.log10(highest)) if highest > 0 else 1.0
    axes.plot(facts.epoch_numbers, rate / unit, color=style.GREY)
    style.epoch_axis(axes, int(facts.epoch_numbers[-1]))
    axes.set_ylim(bottom=0)
    axes.set_title(f"{style.name_of('lr')} (in {unit:.0e})")
