"""What several families draw alike: a curve per split, with the best epoch marked."""

from typing import TYPE_CHECKING, Any

import numpy as np

from aam.monitoring import style
from aam.monitoring.families.base import RunFacts, Values
from aam.monitoring.scores import best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_EPOCHS = 15


def draw_splits(axes: "Axes", facts: RunFacts, curves: dict[str, Values]) -> None:
    """Draw one curve per split, and mark the best epoch on the last of them."""
    epochs = facts.epoch_numbers
    marker = "o" if len(epochs) <= FEW_EPOCHS else None
    for split, values in curves.items():
        color = style.SPLIT_COLORS[split]
        axes.plot(epochs, values, color=color, marker=marker, markersize=5)
    if curves:
        mark_best(axes, facts, list(curves.values())[-1])
    style.epoch_axis(axes, int(epochs[-1]))


def mark_best(axes: "Axes", facts: RunFacts, values: Values) -> None:
    """Mark the best epoch by a line, and its value by a star."""
    for epoch, value in zip(facts.epoch_numbers, values, strict=True):
        if epoch == facts.best_epoch:
            axes.axvline(epoch, **BEST_LINE)
            axes.plot(epoch, value, **BEST_STAR)


def draw_reference(axes: "Axes", facts: RunFacts, metric: str) -> None:
    """Draw what the best baseline reaches on the validation set, if there are baselines."""
    values = {name: scores.get(metric) for name, scores in facts.baselines("val").items()}
    name = best_of(values, metric)
    value = None if name is None else values[name]
    if name is None or value is None:
        return
    low, high = axes.get_ylim()
    room = 0.12 * (max(high, value) - min(low, value))  # for the label above the line
    axes.set_ylim(min(low, value - room / 2), max(high, value + room))
    axes.axhline(value, color=style.BLACK, linestyle=(0, (6, 3)), linewidth=1.2, zorder=1.6)
    axes.annotate(
        f"{style.baseline_name(name)} {style.significant(value)}",
        (0.99, value),
        xytext=(0, 2),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=10,
    )


def splits_of(facts: RunFacts, metric: str) -> dict[str, Values]:
    """Curves of a metric: of those splits that have any value of it."""
    curves = {split: facts.metric(split, metric) for split in ("train", "val")}
    return {split: values for split, values in curves.items() if np.isfinite(values).any()}


def total_losses(facts: RunFacts) -> dict[str, Values]:
    """Curves of the loss that is trained on, and by which the best epoch is chosen by default."""
    curves = {"train": facts.field("train_loss"), "val": facts.field("val_loss")}
    return {split: values for split, values in curves.items() if np.isfinite(values).any()}


def legend_entries(facts: RunFacts, splits: list[str]) -> list[tuple[Any, str]]:
    """Legend of ``draw_splits``."""
    from matplotlib.lines import Line2D

    entries: list[tuple[Any, str]] = [
        (Line2D([], [], color=style.SPLIT_COLORS[split]), style.SPLIT_NAMES[split])
        for split in splits
    ]
    if facts.best is not None:
        value = "" if facts.best["value"] is None else f" {facts.best['value']:.4g}"
        entries.append(
            (
                Line2D([], [], **BEST_STAR),
                f"best epoch {facts.best_epoch} ({facts.best['metric']}{value})",
            )
        )
    return entries


BEST_LINE: dict[str, Any] = {
    "color": style.GREEN,
    "linestyle": (0, (4, 3)),
    "linewidth": 1.4,
    "zorder": 1.5,
}
BEST_STAR: dict[str, Any] = {
    "color": style.GREEN,
    "marker": "*",
    "markersize": 15,
    "markeredgecolor": "white",
    "linestyle": "none",
    "zorder": 4,
    "clip_on": False,
}
