"""Predicted against true values of a numeric target, the best baseline's faint beside.

Shapes: N samples.
"""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from aam.monitoring import style
from aam.monitoring.families import layout
from aam.monitoring.families.base import Moments, RunFacts, Values
from aam.monitoring.families.predictions import (
    FEW_SAMPLES,
    MAX_PANELS,
    Column,
    best_baseline,
    grid_of,
    lacks_predictions,
    read_columns,
    target_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class PredVsActual:
    """Scatter with the 1:1 line and a linear fit; several columns have a panel each."""

    name: ClassVar[str] = "pred_vs_actual"
    kind: ClassVar[str | None] = "regression"
    moments: ClassVar[Moments] = {
        "on_validation_improved": "pred_vs_actual_best",
        "on_test_end": "pred_vs_actual_test",
    }

    def missing(self, facts: RunFacts) -> str:
        """Need the table of predictions of a regression."""
        return lacks_predictions(facts, "regression")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw samples whose numbers are finite; the scores are the facts'."""
        baseline = best_baseline(facts)
        columns = read_columns(facts)
        of_baseline = read_columns(facts, baseline) if baseline else []
        beside: list[Column | None] = [*of_baseline, *[None] * (len(columns) - len(of_baseline))]
        if len(columns) == 1:
            return _draw_one(facts, columns[0], beside[0], baseline)
        return _draw_several(facts, columns[:MAX_PANELS], beside[:MAX_PANELS], baseline)


def linear_fit(x_N: Values, y_N: Values) -> tuple[float, float] | None:
    """Slope and intercept by least squares; None where all ``x`` are equal."""
    if x_N.size < 2 or np.ptp(x_N) == 0:
        return None
    off_N = x_N - x_N.mean()
    slope = float((off_N * (y_N - y_N.mean())).sum() / (off_N**2).sum())
    return slope, float(y_N.mean() - slope * x_N.mean())


def _draw_one(
    facts: RunFacts, column: Column, beside: Column | None, baseline: str | None
) -> "Figure":
    figure = style.new_figure(
        9.2, 6.4, f"{target_name(facts)} predicted: {facts.split_label}", facts.label, min_width=8
    )
    axes, side = figure.subplots(1, 2, width_ratios=[2.5, 1])
    view = _draw_panel(axes, column, beside)
    axes.set_xlabel(f"true {style.shortened(column.name)}")
    axes.set_ylabel(f"predicted {style.shortened(column.name)}")
    scores, unit = facts.scores(), f"in {style.shortened(column.name, 13)}"
    rows = [
        ("MAE (mean absolute error)", style.significant(scores.get("mae")), unit),
        ("R² (1 is exact)", style.significant(scores.get("r2")), ""),
        ("samples", f"{column.true_N.size:,}", ""),
    ]
    layout.write_numbers(side, rows)
    handles, labels = axes.get_legend_handles_labels()
    if beside is not None and baseline is not None:
        labels[labels.index(BASELINE)] = _baseline_label(facts, baseline)
    legend = side.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(-0.09, 0.5), labelspacing=0.7
    )
    layout.show_dots(legend)
    for row, note in enumerate(_notes(column, view)):
        side.text(0, 0.05 * row, note, color=style.GREY, fontsize=10)
    return figure


def _draw_several(
    facts: RunFacts, columns: list[Column], beside: list[Column | None], baseline: str | None
) -> "Figure":
    num_high, num_wide = grid_of(len(columns))
    title = f"{target_name(facts)} predicted: {facts.split_label}"
    figure = style.new_figure(4.6 * num_wide, 4.8 * num_high + 1.0, title, facts.label)
    panels, below = layout.panels_above_legend(figure, num_high, num_wide, len(columns))
    for axes, column, other in zip(panels, columns, beside, strict=True):
        view = _draw_panel(axes, column, other)
        scores = [facts.scores().get(f"{name}_{column.name}") for name in ("mae", "r2")]
        mae, r2 = map(style.significant, scores)
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")
        lines = [style.shortened(column.name, 30), f"MAE {mae}   R² {r2}", *_notes(column, view)]
        axes.set_title("\n".join(lines))
    handles, labels = panels[0].get_legend_handles_labels()
    names = {BASELINE: f"{style.baseline_name(baseline or '')} (best baseline)", FIT: "linear fit"}
    labels = [names.get(label.split("\n")[0], label) for label in labels]
    legend = below.legend(handles, labels, loc="center right", ncols=len(labels))
    layout.show_dots(legend)
    return figure


class View(NamedTuple):
    """What a panel shows: its limits, and how many of the model's samples lie beyond."""

    low: float
    high: float
    num_off: int


BASELINE, FIT = "best baseline", "linear fit"


def _draw_panel(axes: "Axes", column: Column, beside: Column | None) -> View:
    view = _view(column)
    size, alpha = (34, 0.6) if column.true_N.size <= FEW_SAMPLES else (14, 0.35)
    axes.scatter(
        column.true_N,
        column.predicted_N,
        s=size,
        alpha=alpha,
        color=style.BLUE,
        linewidths=0,
        label="model, a sample",
        zorder=2.2,
    )
    fit = linear_fit(column.true_N, column.predicted_N)
    if fit is not None:
        slope, start = fit
        reach = np.array([column.true_N.min(), column.true_N.max()])
        label = f"{FIT}\n{layout.line_text(slope, start)}"
        axes.plot(reach, slope * reach + start, color=style.VERMILLION, label=label, zorder=2.4)
    if beside is not None:
        axes.scatter(
            beside.true_N,
            beside.predicted_N,
            s=0.8 * size,
            marker="s",
            facecolors="none",
            edgecolors=style.ORANGE,
            alpha=alpha,
            label=BASELINE,
        )
    ends = np.array([view.low, view.high])
    axes.plot(
        ends, ends, color=style.GREY, linestyle="--", linewidth=1.6, label="1:1 (exact)", zorder=1.8
    )
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.locator_params(nbins=6)
    return view


def _view(column: Column) -> View:
    """Limits of both axes: no prediction far beyond the true values flattens all others."""
    true_N, predicted_N = column.true_N, column.predicted_N
    if not true_N.size:
        return View(0.0, 1.0, 0)
    both = np.concatenate([true_N, predicted_N])
    low, high = float(both.min()), float(both.max())
    if reach := float(np.ptp(true_N)):
        low = max(low, float(true_N.min()) - reach)
        high = min(high, float(true_N.max()) + reach)
    margin = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
    num_off = int(((predicted_N < low) | (predicted_N > high)).sum())
    return View(low - margin, high + margin, num_off)


def _baseline_label(facts: RunFacts, baseline: str) -> str:
    scores = facts.baselines(facts.split)[baseline]
    mae, r2 = (style.significant(scores.get(name)) for name in ("mae", "r2"))
    return f"best baseline:\n{style.baseline_name(baseline)}\nMAE {mae}   R² {r2}"


def _notes(column: Column, view: View) -> list[str]:
    """What a panel does not show."""
    return [
        f"{number:,} {what}"
        for number, what in (
            (view.num_off, "off the axes"),
            (column.num_dropped, "without a finite number"),
        )
        if number
    ]
