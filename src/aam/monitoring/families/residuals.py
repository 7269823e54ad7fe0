"""Residuals of a numeric target: by group, where samples have groups, or else by true value.

Shapes: N samples.
"""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.monitoring import style
from aam.monitoring.families import layout
from aam.monitoring.families.base import Moments, RunFacts, Values
from aam.monitoring.families.predictions import (
    FEW_SAMPLES,
    MAX_PANELS,
    Column,
    grid_of,
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
    kind: ClassVar[str | None] = "regression"
    moments: ClassVar[Moments] = {
        "on_validation_improved": "residuals_best",
        "on_test_end": "residuals_test",
    }

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
        num_high, num_wide = grid_of(len(columns))
        height = (ROW_INCHES * max(num_rows, 8) + 1.1) * num_high + 1.3
        what = f"{target_name(facts)}{f' by {style.shortened(group_name, 20)}' if by_group else ''}"
        figure = style.new_figure(
            6.2 * num_wide, height, f"Residuals of {what}: {facts.split_label}", facts.label
        )
        panels, below = layout.panels_above_legend(figure, num_high, num_wide, len(columns))
        for axes, column in zip(panels, columns, strict=True):
            if by_group:
                _draw_groups(axes, column)
            else:
                _draw_plain(axes, column)
            if len(columns) > 1:
                name, note = style.shortened(column.name, 30), axes.get_title(loc="left")
                axes.set_title(f"{name}\n{note}" if by_group else name)
            else:
                _name_axes(axes, column.name, by_group)
        handles, labels = panels[0].get_legend_handles_labels()
        legend = below.legend(
            handles, labels, loc="center right", ncols=len(labels), markerscale=1.3
        )
        layout.show_dots(legend)
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
    axes.set_xlabel("predicted - true")
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
        s=30 if column.true_N.size <= FEW_SAMPLES else 12,
        alpha=0.55 if column.true_N.size <= FEW_SAMPLES else 0.3,
        color=style.BLUE,
        linewidths=0,
        label="a sample",
    )
    above = "no error; above: predicted too high"
    axes.axhline(0, color=style.GREY, linestyle="--", linewidth=1.6, label=above, zorder=1.7)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted - true")


def _name_axes(axes: "Axes", name: str, by_group: bool) -> None:
    """Name the target on the axes, where the panel has no title that does."""
    for axis in (axes.xaxis, *([] if by_group else [axes.yaxis])):
        axis.set_label_text(f"{axis.get_label_text()} {style.shortened(name)}")


def _hidden(column: Column, groups: dict[str, Values]) -> str:
    """How many groups are not shown."""
    num_all = np.unique(column.group_N).size
    if num_all == len(groups):
        return ""
    return f"the {len(groups)} largest of {num_all} groups"
