"""Residuals of a numeric target: by group, where samples have groups, or else by true value.

Shapes: N samples.
"""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.monitoring import style
from aam.monitoring.families.base import RunFacts, Values
from aam.monitoring.families.predictions import (
    MAX_PANELS,
    Column,
    lacks_predictions,
    read_columns,
    target_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_GROUPS = 25
ROW_INCHES = 0.34


class Residuals:
    """Predicted minus true; a group that lies off the line is one the model gets wrong."""

    name: ClassVar[str] = "residuals"

    def missing(self, facts: RunFacts) -> str:
        """Need the table of predictions of a regression."""
        return lacks_predictions(facts, "regression")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw a panel for each target column, of samples whose numbers are finite."""
        columns = read_columns(facts)[:MAX_PANELS]
        assert facts.target is not None
        group_name = facts.target.get("group_column") or ""
        by_group = bool(group_name) and any((column.group_N != "").any() for column in columns)
        num_rows = max(len(_largest(column)) for column in columns) if by_group else 12
        num_wide = min(3, len(columns))
        num_high = -(-len(columns) // num_wide)
        height = (ROW_INCHES * max(num_rows, 8) + 1.1) * num_high + 1.3
        what = f"{target_name(facts)}{f' by {style.shortened(group_name)}' if by_group else ''}"
        figure = style.new_figure(
            6.2 * num_wide, height, f"Residuals of {what}, {facts.split_label}", facts.label
        )
        panels = figure.subplots(num_high, num_wide, squeeze=False).ravel()
        for axes, column in zip(panels, columns, strict=False):
            if by_group:
                _draw_groups(axes, column)
            else:
                _draw_plain(axes, column)
            if len(columns) > 1:
                axes.set_title(f"{style.shortened(column.name, 30)}\n{axes.get_title(loc='left')}")
        for axes in panels[len(columns) :]:
            axes.remove()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower right", ncols=len(labels), markerscale=1.3
        )
        return figure


def _largest(column: Column) -> dict[str, Values]:
    """Residuals of the largest groups, sorted by their median."""
    residual_N = column.predicted_N - column.true_N
    names, sizes = np.unique(column.group_N, return_counts=True)
    kept = names[np.argsort(-sizes, kind="stable")[:MAX_GROUPS]]
    groups = {str(name): residual_N[column.group_N == name] for name in kept}
    return dict(sorted(groups.items(), key=lambda item: float(np.median(item[1]))))


def _draw_groups(axes: "Axes", column: Column) -> None:
    """A row a group: its samples, their median and the middle half of them."""
    groups = _largest(column)
    for row, values in enumerate(groups.values()):
        low, median, high = np.percentile(values, [25, 50, 75])
        first = row == 0
        axes.plot(
            [low, high],
            [row, row],
            color=style.SKY,
            alpha=0.55,
            linewidth=11,
            solid_capstyle="butt",
            zorder=1.8,
            label="middle half" if first else None,
        )
        # Samples of one row stand a little apart, so that equal ones do not hide each other.
        apart = 0.22 * np.cos(2.4 * np.arange(values.size)) if values.size > 1 else np.zeros(1)
        axes.plot(
            np.sort(values),
            row + apart,
            "o",
            markersize=4.5,
            markeredgewidth=0,
            color=style.BLUE,
            alpha=0.6,
            label="a sample" if first else None,
        )
        axes.plot(
            [median, median],
            [row - 0.34, row + 0.34],
            color=style.BLACK,
            linewidth=2.6,
            label="median" if first else None,
        )
    axes.axvline(0, color=style.GREY, linestyle="--", linewidth=1.6, zorder=1.7)
    axes.set_yticks(
        range(len(groups)),
        [f"{style.shortened(name, 26)} (n={len(one)})" for name, one in groups.items()],
        fontsize=11,
    )
    axes.grid(visible=False, axis="y")
    axes.set_ylim(-0.7, len(groups) - 0.3)
    axes.set_xlabel(f"predicted - true {style.shortened(column.name)}")
    reach = 1.06 * max((float(np.abs(one).max()) for one in groups.values()), default=1.0) or 1.0
    axes.set_xlim(-reach, reach)
    for text, side, align in (("too low ◂", -8, "right"), ("▸ too high", 8, "left")):
        axes.annotate(
            text,
            (0, 1),
            xytext=(side, 4),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha=align,
            color=style.GREY,
        )
    # Below what is hidden, the words above have a line of their own.
    axes.set_title(f"{_hidden(column, groups)}\n".lstrip())


def _draw_plain(axes: "Axes", column: Column) -> None:
    """Residuals against true values."""
    axes.scatter(
        column.true_N,
        column.predicted_N - column.true_N,
        s=30,
        alpha=0.55,
        color=style.BLUE,
        linewidths=0,
        label="a sample",
    )
    axes.axhline(0, color=style.GREY, linestyle="--", linewidth=1.6, label="no error", zorder=1.7)
    axes.set_xlabel(f"true {style.shortened(column.name)}")
    axes.set_ylabel(f"predicted - true {style.shortened(column.name)}")
    axes.set_title("above the line: predicted too high")


def _hidden(column: Column, groups: dict[str, Values]) -> str:
    """How many groups are not shown."""
    num_all = np.unique(column.group_N).size
    if num_all == len(groups):
        return ""
    return f"the {len(groups)} largest of {num_all} groups ({num_all - len(groups)} are not shown)"
