"""Four panels that show how a training went, and what the diagnostics say of it."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aam.monitoring import style
from aam.monitoring.curves import Curves
from aam.monitoring.curves import Values as Numbers
from aam.monitoring.diagnostics import KINDS
from aam.monitoring.families.base import Moments, RunFacts, Values
from aam.monitoring.families.panels import (
    draw_splits,
    gap_note,
    legend_entries,
    mark_best,
    total_losses,
    up_to,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_INCHES = 0.27
NOTE = "#8A5A00"
MANY_EPOCHS = 300
OF_PANELS = ("plateau", "overfitting", "instability")
"""Findings that have a panel of their own; all others are marked at the loss."""


class TrainingCurves:
    """Loss, change per epoch, generalization gap and rolling standard deviation.

    The epochs that are shaded are those whose facts hold the finding that the panel is about.
    """

    name: ClassVar[str] = "training_curves"
    kind: ClassVar[str | None] = None
    moments: ClassVar[Moments] = {"on_epoch_end": "training_curves"}

    def missing(self, facts: RunFacts) -> str:
        """Need one epoch with a finite loss."""
        return facts.lacks_curves or ("" if total_losses(facts) else "no epoch with a finite loss")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw the panels; the findings are those that the facts of the last epoch hold."""
        curves = Curves.of(facts.epochs, facts.thresholds)
        lines = _findings_lines(facts.epochs[-1]["diagnostics"])
        height = LINE_INCHES * len(lines)
        figure = style.new_figure(
            13,
            8.6 + height,
            f"Training curves {up_to(facts)}",
            facts.label + gap_note([total_losses(facts)]),
        )
        grid = figure.add_gridspec(3, 2, height_ratios=[3.5, 3.5, height])
        loss, change, gap, scatter = (
            figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (0, 1)
        )
        _draw_loss(loss, facts, curves)
        _draw_change(change, curves)
        _draw_gap(gap, facts, curves)
        _draw_scatter(scatter, curves)
        _write_findings(figure.add_subplot(grid[2, :]), lines)
        style.legend_above(figure, legend_entries(facts, list(curves.losses)))
        return figure


def _draw_loss(axes: "Axes", facts: RunFacts, curves: Curves) -> None:
    losses = {split: _array(values) for split, values in curves.losses.items()}
    draw_splits(axes, facts, losses)
    style.loss_scale(axes, np.concatenate(list(losses.values())))
    axes.set_title("Loss" + (" (log scale)" if axes.get_yscale() == "log" else ""))
    _note(axes, _shade(axes, curves, *(kind for kind in KINDS if kind not in OF_PANELS)))


def _draw_change(axes: "Axes", curves: Curves) -> None:
    change = _array(curves.change)
    colors = np.where(change < 0, style.SKY, style.ORANGE)
    axes.bar(curves.epochs, change, color=list(colors), width=0.8)
    axes.axhline(0, color=style.EDGE, linewidth=1)
    style.epoch_axis(axes, curves.epochs[-1])
    num_off = style.focus(axes, change)
    axes.set_title(f"Change of {style.SPLIT_NAMES[curves.judged]} loss")
    axes.set_ylabel("Δ per epoch, < 0 is better")
    _note(axes, f"{num_off} off the axis" * (num_off > 0), _shade(axes, curves, "plateau"))


def _draw_gap(axes: "Axes", facts: RunFacts, curves: Curves) -> None:
    axes.set_title("Gap, val - train loss")
    if curves.gap is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no validation", ha="center", color=style.GREY, fontsize=16)
        return
    gap = _array(curves.gap)
    axes.plot(curves.epochs, gap, color=style.BLACK, linewidth=_width(curves))
    axes.axhline(0, color=style.EDGE, linewidth=1)
    mark_best(axes, facts, gap)
    style.epoch_axis(axes, curves.epochs[-1])
    style.focus(axes, gap)
    _note(axes, _draw_limit(axes, curves.gap_limit), _shade(axes, curves, "overfitting"))


def _draw_scatter(axes: "Axes", curves: Curves) -> None:
    std = _array(curves.std)
    axes.plot(curves.epochs, std, color=style.BLACK, linewidth=_width(curves))
    style.epoch_axis(axes, curves.epochs[-1])
    style.focus(axes, std)
    unstable = np.isin(curves.epochs, curves.found.get("instability", ()))
    axes.plot(np.array(curves.epochs)[unstable], std[unstable], "o", color=style.VERMILLION)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.1 * float(std[unstable].max(initial=0.0))))
    axes.set_title(f"Std of {curves.std_epochs} {curves.judged} losses")
    _note(axes, _draw_limit(axes, curves.std_limit), _shade(axes, curves, "instability"))


def _draw_limit(axes: "Axes", limit: float) -> str:
    """Draw the limit, within the panel however far the curve is from it; what to note of it."""
    low, high = axes.get_ylim()
    room = 0.1 * (max(high, limit) - min(low, limit))
    axes.set_ylim(low if low <= limit - room or low == 0 else limit - room, max(high, limit + room))
    axes.axhline(limit, color=NOTE, linestyle=(0, (6, 3)), linewidth=1.4)
    return f"limit {limit:.2g}"


def _shade(axes: "Axes", curves: Curves, *kinds: str) -> str:
    """Shade the epochs that findings are of; what to note of it."""
    shaded = [kind for kind in kinds if kind in curves.found]
    epochs = sorted({epoch for kind in shaded for epoch in curves.found[kind]})
    for first, last in runs(epochs):
        axes.axvspan(first - 0.5, last + 0.5, color=style.ORANGE, alpha=0.18, linewidth=0)
    return f"shaded: {', '.join(map(_words, shaded))}" if shaded else ""


def _note(axes: "Axes", *notes: str) -> None:
    """Say what is what above the panel, where no curve runs."""
    text = " · ".join(note for note in notes if note)
    axes.set_title(text, loc="right", fontsize=11.5, color=NOTE)


def _width(curves: Curves) -> float:
    """Of a line: thin where many epochs lie close together."""
    return 2.2 if len(curves.epochs) <= MANY_EPOCHS else 1.0


def runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of whole numbers that follow one another."""
    known = set(numbers)
    firsts = [number for number in numbers if number - 1 not in known]
    lasts = [number for number in numbers if number + 1 not in known]
    return list(zip(firsts, lasts, strict=True))


def _array(values: Numbers) -> Values:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _findings_lines(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Kind (once) and text of every line."""
    lines = []
    for finding in findings:
        for index, text in enumerate(textwrap.wrap(finding["evidence"], 110)):
            lines.append(("" if index else _words(finding["kind"]), text))
    return lines or [("", "Diagnostics: nothing found after the last epoch.")]


def _write_findings(axes: "Axes", lines: list[tuple[str, str]]) -> None:
    axes.set_axis_off()
    longest = max(len(kind) for kind, _ in lines)
    for row, (kind, text) in enumerate(lines):
        top = 1 - row / len(lines)
        axes.text(0, top, kind, va="top", fontsize=12, fontweight="bold", color=style.VERMILLION)
        indent = 0.02 + 0.0093 * longest if longest else 0.0
        axes.text(indent, top, text, va="top", fontsize=12)
