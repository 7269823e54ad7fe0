"""The validation curves of a leaderboard's rows in one figure."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aam.facts.files import write_atomically
from aam.monitoring import style
from aam.monitoring.runs.comparing import Row
from aam.monitoring.runs.contenders import TOTAL, Contender
from aam.monitoring.runs.leaderboard import Leaderboard
from aam.monitoring.runs.report import short_values, spread_text
from aam.monitoring.scores import is_error
from aam.monitoring.spread import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Neighbours in the ranking differ in dash as well, for those who tell few colours apart.
_COLORS = (
    style.BLUE,
    style.VERMILLION,
    style.GREEN,
    style.ORANGE,
    style.BLACK,
    style.SKY,
    style.PURPLE,
    style.GREY,
)
_DASHES: tuple[Any, ...] = ("solid", (0, (4, 1.4)))
_REST_COLOR = "#C4C4C4"
_MAX_LABEL = 36
_MAX_DRAWN = 1e100


def has_curves(board: Leaderboard) -> bool:
    """Whether there is more than one epoch to draw of some ranked run."""
    return not board.why_unranked and any(
        np.isfinite(_curve(run, board.metric, run.curve)).sum() > 1
        for row in board.rows
        for run in row.finished
    )


def write_figure(path: Path, board: Leaderboard) -> None:
    """Write :func:`draw` as PNG, whole or not at all."""
    image = BytesIO()
    with style.applied():
        draw(board).savefig(image, format="png", dpi=120)
    write_atomically(path, image.getvalue())


def draw(board: Leaderboard) -> "Figure":
    """A curve for each setting, with those of its runs behind: a colour each for the best ones."""
    best, rest = board.rows[: len(_COLORS)], board.rows[len(_COLORS) :]
    unfinished = [run for row in board.table.rows for run in row.unfinished if len(run.curve) > 1]
    entries = _entries(board, best, len(rest), len(unfinished))
    lines = [line for _, text in entries for line in text.split("\n")]
    figure = style.new_figure(
        8.2 + 0.105 * max(map(len, lines)),
        max(6.2, 1.9 + 0.24 * len(lines) + 0.14 * len(entries)),
        _name(board.metric),
        f"{board.table.title} · {count(len(board.rows), 'setting')}",
    )
    axes = figure.subplots()
    for run in unfinished:
        _draw_run(axes, run, board.metric, color=_REST_COLOR, linestyle="dotted")
    for row in rest:
        for run in row.finished:
            _draw_run(axes, run, board.metric, color=_REST_COLOR, linewidth=1.0)
    for k, row in reversed(list(enumerate(best))):
        _draw_row(
            axes, row, board.metric, color=_COLORS[k], linestyle=_DASHES[k % 2], zorder=4 - k / 9
        )
    _fit_axes(axes, board, best, unfinished)
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="outside right upper", fontsize=11, labelspacing=0.7)
    return figure


def _draw_row(axes: "Axes", row: Row, metric: str, **look: Any) -> None:
    """The mean of the runs while all of them go on, and each of them thin behind it."""
    epochs = sorted(set.intersection(*(set(run.curve) for run in row.finished)))
    mean = np.mean([_curve(run, metric, epochs) for run in row.finished], axis=0)
    if len(row.finished) > 1:
        for run in row.finished:
            _draw_run(axes, run, metric, color=look["color"], linewidth=0.9, alpha=0.55)
    axes.plot(np.array(epochs) + 1, mean, linewidth=2.4, **look)
    for run in row.finished:
        if run.best is not None:
            axes.plot(
                run.best["epoch"] + 1,
                _curve(run, metric, [run.best["epoch"]]),
                marker="o",
                markersize=6.5,
                color=look["color"],
                markeredgecolor="white",
                zorder=look["zorder"] + 1,
            )


def _draw_run(axes: "Axes", run: Contender, metric: str, **look: Any) -> None:
    epochs = sorted(run.curve)
    axes.plot(np.array(epochs) + 1, _curve(run, metric, epochs), **({"linewidth": 1.2} | look))


def _curve(run: Contender, metric: str, epochs: Iterable[int]) -> NDArray[np.float64]:
    """The metric after these epochs; NaN where it has no value, or none that can be drawn."""
    values = [run.at(epoch, metric) for epoch in epochs]
    return np.array(
        [np.nan if value is None or abs(value) > _MAX_DRAWN else value for value in values],
        dtype=np.float64,
    )


def _fit_axes(
    axes: "Axes", board: Leaderboard, best: Sequence[Row], unfinished: Sequence[Contender]
) -> None:
    """Let the best rows fill the axes; what went wrong in others may leave them."""
    runs = [run for row in board.rows for run in row.finished]
    style.epoch_axis(axes, 1 + max(epoch for run in [*runs, *unfinished] for epoch in run.curve))
    curves = [_curve(run, board.metric, sorted(run.curve)) for row in best for run in row.finished]
    values = np.concatenate(curves)
    better = "higher"
    if is_error(board.metric):
        better = "lower"
        style.loss_scale(axes, values)
        _show(axes, values)
    else:  # an R² begins far below zero
        _show(axes, np.concatenate([curve[len(curve) // 3 :] for curve in curves]))
        if (values < axes.get_ylim()[0]).any():
            axes.set_title("first epochs: off the axis", loc="right", fontsize=10, color=style.GREY)
    scale = ", log scale" if axes.get_yscale() == "log" else ""
    axes.set_ylabel(f"{_name(board.metric)} ({better} is better{scale})")


def _show(axes: "Axes", values: NDArray[np.float64]) -> None:
    """Let the axis go from the least value to the greatest, with a margin."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(finite.max())
    if axes.get_yscale() == "log":
        room = (high / low) ** 0.06
        axes.set_ylim(low / room, high * room)
    else:
        room = 0.06 * ((high - low) or abs(high) or 1.0)
        axes.set_ylim(low - room, high + room)


def _name(metric: str) -> str:
    is_total = metric in TOTAL
    return "Validation loss" if is_total else f"{style.name_of(metric)} of the validation"


def _entries(
    board: Leaderboard, best: Sequence[Row], num_rest: int, num_unfinished: int
) -> list[tuple[Any, str]]:
    """Rank, setting and value of the best rows, and what the other lines are."""
    from matplotlib.lines import Line2D

    labels = _labels(board, best)
    entries: list[tuple[Any, str]] = []
    for k, row in enumerate(best):
        handle = Line2D([], [], color=_COLORS[k], linestyle=_DASHES[k % 2], linewidth=2.4)
        entries.append((handle, f"{k + 1}:  {spread_text(board, row)}\n{labels[k]}"))
    if num_rest:
        handle = Line2D([], [], color=_REST_COLOR, linewidth=1.0)
        entries.append((handle, f"{count(num_rest, 'other setting')}"))
    if num_unfinished:
        handle = Line2D([], [], color=_REST_COLOR, linestyle="dotted", linewidth=1.2)
        entries.append((handle, f"{count(num_unfinished, 'run')} not finished"))
    if any(len(row.finished) > 1 for row in best):
        handle = Line2D([], [], color=style.GREY, linewidth=0.9, alpha=0.6)
        entries.append((handle, "each run; thick: mean, while all go on"))
    dot = Line2D([], [], color=style.GREY, linestyle="", marker="o", markersize=6.5)
    return [*entries, (dot, "best epoch of a run")]


def _labels(board: Leaderboard, rows: Sequence[Row]) -> list[str]:
    """The setting of each row in a few short lines."""
    names = board.table.columns
    cells = [short_values([row.setting[name] for row in rows]) for name in names]
    if not names:
        return [style.shortened(row.label, _MAX_LABEL) for row in rows]
    last_parts = [name.rpartition(".")[2] for name in names]
    is_clear = len(set(last_parts)) == len(names)
    texts = []
    for values in zip(*cells, strict=True):
        parts = [
            style.shortened(f"{name}={value}", _MAX_LABEL)
            for name, value in zip(last_parts if is_clear else names, values, strict=True)
        ]
        texts.append("\n".join(wrap(", ".join(parts), _MAX_LABEL, break_on_hyphens=False)))
    return texts
