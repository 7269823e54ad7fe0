"""Every metric that is no loss, each in a small panel of its own."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.monitoring import style
from aam.monitoring.families import layout
from aam.monitoring.families.base import Moments, RunFacts, Values
from aam.monitoring.families.panels import (
    FEW_EPOCHS,
    draw_reference,
    draw_splits,
    gap_note,
    judged,
    legend_entries,
    reference_entry,
    splits_of,
    up_to,
    write_best,
)
from aam.monitoring.scores import is_error, is_loss, is_of_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MAX_TARGETS = 4
# Scores that cannot lie beyond 1.
SHARES = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "auroc",
        "nuc_accuracy",
        "unifrac_spearman",
    }
)


class Metrics:
    """Small multiples: one panel a metric, and the learning rate."""

    name: ClassVar[str] = "metrics"
    kind: ClassVar[str | None] = None
    moments: ClassVar[Moments] = {
        "on_epoch_end": "metrics-on_epoch_end",
        "on_validation_improved": "metrics-on_validation_improved",
    }

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
        label = facts.label + gap_note(panels.values()) + _left_out_note(facts)
        figure = style.new_figure(4.6 * columns, 3.4 * rows + 1.0, f"Metrics {up_to(facts)}", label)
        every = figure.subplots(rows, columns, squeeze=False).ravel()
        has_baseline = [
            _draw_panel(axes, facts, name, curves)
            for axes, (name, curves) in zip(every, panels.items(), strict=False)
        ]
        if num_panels > len(panels):
            _draw_rate(every[len(panels)], facts, rate)
        for axes in every[num_panels:]:
            axes.remove()
        drawn = {split for curves in panels.values() for split in curves}
        entries = legend_entries(facts, [s for s in ("train", "val") if s in drawn])
        entries += [reference_entry()] if any(has_baseline) else []
        style.legend_above(figure, entries)
        return figure

    @staticmethod
    def _panels(facts: RunFacts) -> dict[str, dict[str, Values]]:
        names = [name for name in facts.metric_names() if not is_loss(name)]
        if _left_out_note(facts):
            names = [name for name in names if not is_of_column(name)]
        panels = {name: splits_of(facts, name) for name in names}
        return {name: curves for name, curves in panels.items() if curves}


def _left_out_note(facts: RunFacts) -> str:
    """Of many targets, the means alone have room."""
    num_targets = len(facts.target["columns"]) if facts.target else 0
    return "" if num_targets <= MAX_TARGETS else f" · means over {num_targets} targets"


def _draw_panel(axes: "Axes", facts: RunFacts, name: str, curves: dict[str, Values]) -> bool:
    """Draw one metric; tell whether a baseline stands beside it."""
    values = np.concatenate(list(curves.values()))
    draw_splits(axes, facts, curves)
    if name == "grad_norm":
        style.loss_scale(axes, values)
    elif name not in SHARES:
        style.focus(axes, values)
    has_baseline = draw_reference(axes, facts, name)
    if name in SHARES:
        layout.end_at_one(axes)
    axes.set_title(style.name_of(name, 10))
    axes.set_ylabel(_note(facts, name, axes.get_yscale() == "log"), fontsize=12)
    if num_off := style.count_off(axes, values):
        axes.set_xlabel(f"epoch ({num_off} beyond the axis)")
    write_best(axes, facts, judged(curves))
    return has_baseline


def _note(facts: RunFacts, name: str, is_log: bool) -> str:
    """Which way is better, and in what unit."""
    if name == "grad_norm":
        return "log scale" if is_log else ""
    better = "lower is better" if is_error(name) else "higher is better"
    head, _, column = name.partition("_")
    if facts.target is None or head not in ("mae", "rmse"):
        return better
    columns = facts.target["columns"]
    unit = column or (columns[0] if len(columns) == 1 else "")
    return f"in {style.shortened(unit, 14)}, {better}" if unit else better


def _draw_rate(axes: "Axes", facts: RunFacts, rate: Values) -> None:
    """Draw the learning rate in a unit that leaves short numbers on the axis."""
    highest = float(np.nanmax(np.abs(rate)))
    power = int(np.floor(np.log10(highest))) if highest > 0 else 0
    few = len(facts.epochs) <= FEW_EPOCHS
    axes.plot(
        facts.epoch_numbers,
        rate / 10.0**power,
        color=style.GREY,
        marker="o" if few else None,
        markersize=5,
    )
    style.epoch_axis(axes, int(facts.epoch_numbers[-1]))
    axes.set_ylim(bottom=0)
    axes.set_title(style.name_of("lr"))
    axes.set_ylabel(f"\N{MULTIPLICATION SIGN} $10^{{{power}}}$" if power else "", fontsize=12)
