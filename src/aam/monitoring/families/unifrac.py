"""Predicted against true UniFrac distances over pairs of samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from aam.monitoring import style
from aam.monitoring.families.base import RunFacts, Values

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

    def missing(self, facts: RunFacts) -> str:
        """Need the table of pairs that the moment's event names."""
        name = f"{_split(facts)}_unifrac"
        return "" if facts.artifact(name) else f"no artifact {name} (table of pairs of samples)"

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw pairs whose numbers are finite."""
        path = facts.artifact(f"{_split(facts)}_unifrac")
        assert path is not None
        pairs = read_pairs(path)
        finite = np.isfinite(pairs.true) & np.isfinite(pairs.predicted)
        pairs = Pairs(pairs.true[finite], pairs.predicted[finite])
        if not pairs.true.size:
            raise ValueError(f"{path.name} holds no pair of finite distances")
        figure = style.new_figure(11.6, 8.2, _title(facts), facts.label)
        axes, side = figure.subplots(1, 2, width_ratios=[3.1, 1])
        _draw_pairs(axes, pairs)
        _draw_side(side, axes, facts.events[-1]["metrics"].get(_split(facts), {}), len(pairs.true))
        return figure


def _split(facts: RunFacts) -> str:
    return "test" if facts.moment == "on_test_end" else "val"


def _title(facts: RunFacts) -> str:
    split = _split(facts)
    name = f"UniFrac distances of the {style.SPLIT_NAMES[split]} set"
    return f"{name}, epoch {facts.best_epoch} (best)" if facts.best_epoch else name


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
        axes.scatter([], [], s=90, marker="h", color="#6AAED6", label="pairs\n(darker: more)")
    else:
        axes.scatter(*pairs, s=22, alpha=0.35, color=style.BLUE, linewidths=0, label="a pair")
    axes.plot([low, high], [low, high], color=style.GREY, linestyle="--", label="1:1")
    if np.ptp(pairs.true) > 0:
        slope, start = np.polyfit(*pairs, 1)
        ends = np.array([pairs.true.min(), pairs.true.max()])
        axes.plot(
            ends,
            slope * ends + start,
            color=style.VERMILLION,
            label=f"linear fit\ny = {slope:.2f} x {'+' if start >= 0 else '-'} {abs(start):.2f}",
        )
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel("true distance")
    axes.set_ylabel("predicted distance")


def _draw_side(side: "Axes", axes: "Axes", metrics: Mapping[str, float], num_shown: int) -> None:
    """Write numbers and legend beside the pairs, where they cover nothing."""
    side.axis("off")
    numbers = [
        (label, f"{metrics[name]:.3f}")
        for name, label in (
            ("unifrac_r2", "R² of 1:1"),
            ("unifrac_spearman", "Spearman"),
            ("unifrac_mae", "MAE"),
        )
        if metrics.get(name) is not None
    ]
    for row, (name, value) in enumerate([*numbers, ("pairs shown", f"{num_shown:,}")]):
        top = 1.0 - 0.125 * row
        side.text(0, top, name, va="top", color=style.GREY, fontsize=13)
        side.text(0, top - 0.042, value, va="top", fontsize=21, fontweight="bold")
    side.legend(*axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(-0.06, 0.44))
