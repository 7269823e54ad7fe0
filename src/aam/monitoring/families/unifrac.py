"""Predicted against true UniFrac distances over pairs of samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from aam.monitoring import style
from aam.monitoring.families import layout
from aam.monitoring.families.base import UNSUPERVISED, Moments, RunFacts, Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW_PAIRS = 1500


class Pairs(NamedTuple):
    """True and predicted distance of every pair."""

    true: Values
    predicted: Values


def read_pairs(path: Path) -> Pairs:
    """Read the columns ``true`` and ``predicted`` of a tab-separated file."""
    with path.open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split("\t")
        columns = [header.index(name) for name in ("true", "predicted")]
        values = np.loadtxt(file, delimiter="\t", usecols=columns, comments=None, ndmin=2)
    return Pairs(values[:, 0], values[:, 1])


class UniFracPairs:
    """Density of the pairs kept, with the 1:1 line and a linear fit; the numbers are the facts'."""

    name: ClassVar[str] = "unifrac"
    kind: ClassVar[str | None] = UNSUPERVISED
    moments: ClassVar[Moments] = {
        "on_validation_improved": "unifrac_best",
        "on_test_end": "unifrac_test",
    }

    def missing(self, facts: RunFacts) -> str:
        """Need the table of pairs that the moment's event names."""
        name = f"{facts.split}_unifrac"
        return "" if facts.artifact(name) else f"no artifact {name} (table of pairs of samples)"

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw pairs whose numbers are finite."""
        path = facts.artifact(f"{facts.split}_unifrac")
        assert path is not None
        pairs = read_pairs(path)
        finite = np.isfinite(pairs.true) & np.isfinite(pairs.predicted)
        pairs = Pairs(pairs.true[finite], pairs.predicted[finite])
        if not pairs.true.size:
            raise ValueError(f"{path.name} holds no pair of finite distances")
        title = f"UniFrac distances: {facts.split_label}"
        figure = style.new_figure(10.4, 7.4, title, facts.label, min_width=10)
        axes, side = figure.subplots(1, 2, width_ratios=[3.1, 1])
        _draw_pairs(axes, pairs)
        _draw_side(side, axes, facts.scores(), len(pairs.true))
        return figure


def _draw_pairs(axes: "Axes", pairs: Pairs) -> None:
    from matplotlib.colors import LogNorm

    both = np.concatenate(pairs)
    margin = 0.03 * (np.ptp(both) or 1.0)
    low, high = both.min() - margin, both.max() + margin
    if pairs.true.size > FEW_PAIRS:
        cells = axes.hexbin(
            *pairs,
            gridsize=55,
            extent=(low, high, low, high),
            mincnt=1,
            cmap="Blues",
            linewidths=0.1,
        )
        # Kept light, so that the lines stand out from the densest cells.
        cells.set_norm(LogNorm(0.5, 5 * float(np.asarray(cells.get_array()).max())))
        axes.scatter([], [], s=90, marker="h", color=style.SKY, label="pairs\n(darker: more)")
    else:
        axes.scatter(*pairs, s=22, alpha=0.35, color=style.BLUE, linewidths=0, label="a pair")
    axes.plot([low, high], [low, high], color=style.GREY, linestyle="--", label="1:1 (exact)")
    if np.ptp(pairs.true) > 0:
        slope, start = np.polyfit(*pairs, 1)
        ends = np.array([pairs.true.min(), pairs.true.max()])
        axes.plot(
            ends,
            slope * ends + start,
            color=style.VERMILLION,
            label=f"linear fit\n{layout.line_text(slope, start)}",
        )
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel("true UniFrac distance")
    axes.set_ylabel("predicted UniFrac distance")


def _draw_side(
    side: "Axes", axes: "Axes", metrics: Mapping[str, float | None], num_shown: int
) -> None:
    """Write numbers and legend beside the pairs, where they cover nothing."""
    numbers = [
        (label, f"{value:.3f}", "")
        for name, label in (
            ("unifrac_r2", "R² (1 is exact)"),
            ("unifrac_spearman", "Spearman (rank correlation)"),
            ("unifrac_mae", "MAE (mean absolute error)"),
        )
        if (value := metrics.get(name)) is not None
    ]
    layout.write_numbers(side, [*numbers, ("pairs shown", f"{num_shown:,}", "")])
    legend = side.legend(
        *axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(-0.06, 0.42)
    )
    layout.show_dots(legend)
