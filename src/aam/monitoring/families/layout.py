"""What families lay out alike: large numbers, legends below panels, ends of axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aam.monitoring import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend


def end_at_one(axes: "Axes") -> None:
    """Name no value above 1 on the axis of what cannot be larger; the room there stays."""
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= min(high, 1.0)])


def write_numbers(
    axes: "Axes", rows: Sequence[tuple[str, str, str]], size: float = 21, step: float = 62
) -> None:
    """Fill an empty panel with large numbers: name above, value, note beside (``step`` points)."""
    axes.axis("off")
    for row, (name, value, note) in enumerate(rows):
        beside = 0.72 * size * len(value) + 4  # digits are 0.7 of the size wide
        texts: list[tuple[str, float, float, dict[str, Any]]] = [
            (name, 0.0, 0.0, {"color": style.GREY, "fontsize": 12.5}),
            (value, 0.0, -18.0, {"fontsize": size, "fontweight": "bold"}),
            (note, beside, -22.0, {"color": style.GREY, "fontsize": 11}),
        ]
        for text, x, y, look in texts:
            if text:
                axes.annotate(
                    text,
                    (0, 1),
                    xytext=(x, y - step * row),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    va="top",
                    **look,
                )


def panels_above_legend(
    figure: "Figure", num_rows: int, num_columns: int, num_panels: int
) -> tuple[list["Axes"], "Axes"]:
    """Make the first panels of a grid, and below them an empty one for the legend of all."""
    legend_height = 0.4 * num_rows / (figure.get_figheight() - 1.7)
    grid = figure.add_gridspec(
        num_rows + 1, num_columns, height_ratios=[*[1.0] * num_rows, legend_height]
    )
    panels = [figure.add_subplot(grid[divmod(place, num_columns)]) for place in range(num_panels)]
    below = figure.add_subplot(grid[num_rows, :])
    below.axis("off")
    return panels, below


def show_dots(legend: "Legend") -> None:
    """Make the dots of a legend as visible as they are not where thousands overlap."""
    from matplotlib.collections import PathCollection

    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([44])
            handle.set_alpha(1)


def line_text(slope: float, start: float) -> str:
    """The equation of a line, without a zero that has been rounded to one."""
    if f"{start:.6g}" == "0" or abs(start) < 0.005 * abs(slope):
        return f"y = {slope:.2f} x"
    return f"y = {slope:.2f} x {'+' if start > 0 else '-'} {style.significant(abs(start))}"
