"""What several families draw alike: a curve per split, with the best epoch marked."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aam.monitoring import style
from aam.monitoring.families.base import RunFacts, Values
from aam.monitoring.scores import best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_EPOCHS = 15


def draw_splits(axes: "Axes", facts: RunFacts, curves: dict[str, Values]) -> None:
    """Draw one curve per split, and mark the best epoch on the last of them.

    An epoch whose value is not finite has a cross at the bottom, in the colour of its split.
    """
    epochs = facts.epoch_numbers
    for split, values in curves.items():
        color = style.SPLIT_COLORS[split]
        axes.plot(epochs, values, color=color)
        dots = np.isfinite(values) if len(epochs) <= FEW_EPOCHS else _alone(values)
        axes.plot(epochs[dots], values[dots], "o", color=color, markersize=5)
        for gap in epochs[~np.isfinite(values)]:
            axes.plot(gap, 0, transform=axes.get_xaxis_transform(), **GAP, color=color)
    if curves:
        mark_best(axes, facts, judged(curves))
    style.epoch_axis(axes, int(epochs[-1]))


def _alone(values: Values) -> NDArray[np.bool_]:
    """Values that no line leads to or from."""
    there = np.pad(np.isfinite(values), 1)
    alone: NDArray[np.bool_] = there[1:-1] & ~there[:-2] & ~there[2:]
    return alone


def judged(curves: dict[str, Values]) -> Values:
    """The curve that the best epoch is marked on: that of the validation where there is one."""
    return list(curves.values())[-1]


def mark_best(axes: "Axes", facts: RunFacts, values: Values) -> None:
    """Mark the best epoch by a line, and its value by a star."""
    for epoch, value in zip(facts.epoch_numbers, values, strict=True):
        if epoch == facts.best_epoch:
            axes.axvline(epoch, **BEST_LINE)
            axes.plot(epoch, value, **BEST_STAR)


def write_best(axes: "Axes", facts: RunFacts, values: Values) -> None:
    """Write the value of the best epoch above the panel, to be read from afar."""
    value = values[facts.epoch_numbers == facts.best_epoch]
    if value.size and np.isfinite(value[0]):
        text = style.significant(value[0])
        axes.set_title(
            f"\N{BLACK STAR} {text}",
            loc="right",
            color=style.DARK_GREEN,
            fontsize=16 if len(text) < 8 else 13,
            fontweight="bold",
        )


def draw_reference(axes: "Axes", facts: RunFacts, metric: str) -> bool:
    """Draw what the best baseline reaches on the validation set; False if there is none."""
    values = {name: scores.get(metric) for name, scores in facts.baselines("val").items()}
    name = best_of(values, metric)
    value = None if name is None else values[name]
    if name is None or value is None:
        return False
    low, high = axes.get_ylim()
    room = 0.14 * (max(high, value) - min(low, value))  # for the label above the line
    axes.set_ylim(min(low, value - room / 2), max(high, value + room))
    axes.axhline(value, **REFERENCE)
    text = axes.annotate(
        f"{style.baseline_name(name)} {style.significant(value)}",
        (0.99, value),
        xytext=(0, 3),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=11,
        zorder=5,
    )
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8})
    return True


def up_to(facts: RunFacts) -> str:
    """How far the curves go, for a title."""
    if facts.moment == "on_validation_improved":
        return "up to the best epoch"
    return f"up to epoch {facts.epoch_numbers[-1]}"


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
        metric, value = facts.best["metric"], facts.best["value"]
        name = style.name_of(metric)
        if metric in ("val_loss", "train_loss"):
            name = name.lower()
        number = "" if value is None else f" {style.significant(value, 4)}"
        entries.append(
            (Line2D([], [], **BEST_STAR), f"best epoch {facts.best_epoch}: {name}{number}")
        )
    return entries


def gap_note(curves: Iterable[dict[str, Values]]) -> str:
    """What the crosses of ``draw_splits`` are, for the small print; empty if there are none."""
    of_all = [values for of_splits in curves for values in of_splits.values()]
    is_whole = all(np.isfinite(values).all() for values in of_all)
    return "" if is_whole else " · \N{MULTIPLICATION SIGN}: not a finite number"


def reference_entry() -> tuple[Any, str]:
    """Legend of ``draw_reference``."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **REFERENCE), "best baseline"


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
GAP: dict[str, Any] = {
    "marker": "x",
    "markersize": 8,
    "markeredgewidth": 2.2,
    "linestyle": "none",
    "zorder": 4,
    "clip_on": False,
}
REFERENCE: dict[str, Any] = {
    "color": style.BLACK,
    "linestyle": (0, (6, 3)),
    "linewidth": 1.2,
    "zorder": 1.6,
}
