"""The loss against the learning rate of a search, and the rates that it says."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aam.facts.tables import numbers, read_tsv
from aam.monitoring import style
from aam.monitoring.families import layout
from aam.monitoring.families.base import LR_FIND, Moments, RunFacts, Values
from aam.monitoring.wording import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RAW: dict[str, Any] = {"color": style.SKY, "alpha": 0.6, "linewidth": 1.0}
_SMOOTHED: dict[str, Any] = {"color": style.BLUE, "linewidth": 2.6}
_SUGGESTED: dict[str, Any] = {"color": style.GREEN, "linewidth": 4.0}
_TENTH: dict[str, Any] = {
    "color": style.BLACK,
    "linestyle": (0, (5, 4)),
    "linewidth": 1.4,
    "zorder": 3,  # seen on the line of the suggestion, where that is the same rate
}
_STEEPEST: dict[str, Any] = {
    "color": style.VERMILLION,
    "marker": "v",
    "markersize": 11,
    "markeredgecolor": "white",
    "linestyle": "none",
    "zorder": 5,
}
_END: dict[str, Any] = {"color": style.GREY, "linestyle": (0, (1, 2)), "linewidth": 1.8}


class LrFind:
    """The curve of ``loop=lr_find``, single losses and their mean; the rates are the facts'."""

    name: ClassVar[str] = "lr_find"
    kind: ClassVar[str | None] = LR_FIND
    moments: ClassVar[Moments] = {"on_epoch_end": "lr_find"}

    def missing(self, facts: RunFacts) -> str:
        """Need the table of the curve."""
        return "" if facts.artifact("lr_find") else "no artifact lr_find (the curve of a search)"

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw the losses that are finite."""
        path = facts.artifact("lr_find")
        assert path is not None
        table = {name: np.array(numbers(cells)) for name, cells in read_tsv(path).items()}
        told = facts.events[-1]["metrics"]["train"]
        suggested = told.get("suggested_lr")
        title = "Search for a learning rate: " + (
            "no answer" if suggested is None else f"optimizer.lr={rate(suggested)}"
        )
        examined = facts.starts[0]["meta"].get("examined") if facts.starts else None
        of = f" · rate of loop={examined}" if examined else ""
        figure = style.new_figure(12, 6.6, title, facts.label + of)
        (axes,), below = layout.panels_above_legend(figure, 1, 1, 1)
        handles, labels = zip(*_draw(axes, table, told), strict=True)
        below.legend(handles, labels, loc="center", ncols=3)
        return figure


def _draw(
    axes: "Axes", table: Mapping[str, Values], told: Mapping[str, float | None]
) -> list[tuple[Any, str]]:
    """Draw the panel; its legend."""
    lr, smooth = table["lr"], table["smoothed"]
    (raw_line,) = axes.plot(lr, table["loss"], **_RAW)
    (smooth_line,) = axes.plot(lr, smooth, **_SMOOTHED)
    entries: list[tuple[Any, str]] = [(raw_line, "loss of an update"), (smooth_line, "smoothed")]
    axes.set_xscale("log")
    axes.set_xlabel("learning rate (of optimizer.lr)")
    axes.set_ylabel("training loss")
    _focus(axes, table["loss"], smooth)
    suggested, steepest, tenth, last = (
        told.get(name) for name in ("suggested_lr", "steepest_lr", "tenth_lr", "last_lr")
    )
    if tenth is not None:
        entries.append((axes.axvline(tenth, **_TENTH), f"lowest loss / 10: {rate(tenth)}"))
    if suggested is not None:
        entries.append((axes.axvline(suggested, **_SUGGESTED), f"suggested: {rate(suggested)}"))
    if steepest is not None:
        (mark,) = axes.plot([steepest], np.interp([steepest], lr, smooth), **_STEEPEST)
        entries.append((mark, f"steepest: {rate(steepest)}"))
    if last is not None:
        entries.append((axes.axvline(last, **_END), f"end of the search: {rate(last)}"))
    return entries


def _focus(axes: "Axes", loss: Values, smooth: Values) -> None:
    """Let the smoothed curve fill the panel; single losses may leave it, and are counted."""
    finite = smooth[np.isfinite(smooth)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(finite.max())
    near = loss[np.isfinite(loss) & (loss <= high)]
    low = min(low, float(near.min(initial=math.inf)))
    margin = 0.08 * ((high - low) or abs(high) or 1.0)
    axes.set_ylim(low - margin, high + 2 * margin)
    num_off = style.count_off(axes, loss)
    if num_off:
        axes.set_title(f"{num_off} off the axis", loc="right", fontsize=11.5)
