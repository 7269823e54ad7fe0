"""Four panels that show how a training went, and what the diagnostics say of it."""

import textwrap
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.config import DiagnosticsConfig
from aam.monitoring import style
from aam.monitoring.diagnostics import is_unstable, rolling_std, scaled
from aam.monitoring.families.base import RunFacts, Values
from aam.monitoring.families.panels import (
    draw_splits,
    legend_entries,
    mark_best,
    total_losses,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_INCHES = 0.27


class TrainingCurves:
    """Loss, change per epoch, generalization gap and rolling standard deviation."""

    name: ClassVar[str] = "training_curves"

    def missing(self, facts: RunFacts) -> str:
        """Need one epoch with a finite loss."""
        return facts.lacks_curves or ("" if total_losses(facts) else "no epoch with a finite loss")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw the panels; the findings are those that the facts of the last epoch hold."""
        curves = total_losses(facts)
        split = "val" if "val" in curves else "train"
        limits = scaled(
            facts.thresholds,
            *([event[name] for event in facts.epochs] for name in ("train_loss", "val_loss")),
        )
        lines = _findings_lines(facts.epochs[-1]["diagnostics"])
        height = LINE_INCHES * len(lines)
        figure = style.new_figure(
            13, 8.6 + height, f"Training curves after epoch {facts.epoch_numbers[-1]}", facts.label
        )
        grid = figure.add_gridspec(3, 2, height_ratios=[3.5, 3.5, height])
        loss, change, gap, scatter = (
            figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (0, 1)
        )
        draw_splits(loss, facts, curves)
        style.loss_scale(loss, np.concatenate(list(curves.values())))
        loss.set_title("Loss" + (" (log scale)" if loss.get_yscale() == "log" else ""))
        _draw_change(change, facts, curves[split], split)
        _draw_gap(gap, facts, curves, limits)
        _draw_scatter(scatter, facts, curves[split], split, limits)
        _write_findings(figure.add_subplot(grid[2, :]), lines)
        style.legend_above(figure, legend_entries(facts, list(curves)))
        return figure


def _draw_change(axes: "Axes", facts: RunFacts, values: Values, split: str) -> None:
    change = np.diff(values)
    colors = np.where(change < 0, style.SKY, style.ORANGE)
    axes.bar(facts.epoch_numbers[1:], change, color=list(colors), width=0.8)
    axes.axhline(0, color="#888888", linewidth=1)
    style.epoch_axis(axes, int(facts.epoch_numbers[-1]))
    num_off = style.focus(axes, change)
    off = f" ({num_off} off the axis)" if num_off else ""
    axes.set_title(f"Change of the {style.SPLIT_NAMES[split]} loss per epoch{off}")
    axes.set_ylabel("Δ, below 0 is better")


def _draw_gap(
    axes: "Axes", facts: RunFacts, curves: dict[str, Values], limits: DiagnosticsConfig
) -> None:
    axes.set_title("Gap (validation - training)")
    if len(curves) < 2:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no validation", ha="center", color=style.GREY, fontsize=16)
        return
    gap = curves["val"] - curves["train"]
    axes.plot(facts.epoch_numbers, gap, color=style.BLACK)
    axes.axhline(0, color="#888888", linewidth=1)
    mark_best(axes, facts, gap)
    style.epoch_axis(axes, int(facts.epoch_numbers[-1]))
    style.focus(axes, gap)
    _shade_above(axes, limits.gap, 0.0)
    _name_zone(axes, f"overfitting: > {limits.gap:.2g}, growing")


def _draw_scatter(
    axes: "Axes", facts: RunFacts, values: Values, split: str, limits: DiagnosticsConfig
) -> None:
    window = limits.std_epochs
    std = np.array(rolling_std(list(values), window))
    axes.plot(facts.epoch_numbers, std, color=style.BLACK)
    unstable = np.array(
        [
            end >= window and is_unstable(list(values[end - window : end]), limits.std)
            for end in range(1, len(values) + 1)
        ]
    )
    axes.plot(facts.epoch_numbers[unstable], std[unstable], "o", color=style.VERMILLION)
    style.epoch_axis(axes, int(facts.epoch_numbers[-1]))
    style.focus(axes, std)
    _shade_above(axes, limits.std, float(std[unstable].max(initial=0.0)))
    axes.set_ylim(bottom=0)
    axes.set_title(f"Std of {window} epochs ({split} loss)")
    _name_zone(axes, f"unstable: > {limits.std:.2g}, not falling")


def _shade_above(axes: "Axes", limit: float, highest: float) -> None:
    """Shade the zone above a limit; make sure that some of it, and ``highest``, can be seen."""
    low, high = axes.get_ylim()
    top = max(high, 1.2 * limit, 1.1 * highest)
    axes.set_ylim(low, top)
    axes.axhspan(limit, top, color=style.ORANGE, alpha=0.18, linewidth=0)


def _name_zone(axes: "Axes", name: str) -> None:
    """Say what the shaded zone is, above the panel, where no curve runs."""
    axes.set_title(name, loc="right", fontsize=11.5, color="#8A5A00")


def _findings_lines(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Kind (once) and text of every line."""
    lines = []
    for finding in findings:
        for index, text in enumerate(textwrap.wrap(finding["evidence"], 115)):
            lines.append(("" if index else finding["kind"], text))
    return lines or [("", "Diagnostics: nothing found.")]


def _write_findings(axes: "Axes", lines: list[tuple[str, str]]) -> None:
    axes.set_axis_off()
    for row, (kind, text) in enumerate(lines):
        top = 1 - row / len(lines)
        axes.text(0, top, kind, va="top", fontsize=12, fontweight="bold", color=style.VERMILLION)
        indent = 0.105 if lines[0][0] else 0.0
        axes.text(indent, top, text, va="top", fontsize=12)
