"""A cross-validation in one figure."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from aam.facts.files import write_atomically
from aam.monitoring import style
from aam.monitoring.folds.numbers import CrossValidation
from aam.monitoring.folds.report import num_decimals, predictor_name
from aam.monitoring.folds.runs import MODEL
from aam.monitoring.scores import is_error
from aam.monitoring.spread import Mean, count, mean_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class _Row(NamedTuple):
    """A predictor and its primary metric by fold."""

    name: str
    is_model: bool
    values: dict[int, float]


def write_figure(path: Path, parts: Sequence[CrossValidation]) -> None:
    """Write :func:`draw` as PNG, whole or not at all."""
    image = BytesIO()
    with style.applied():
        draw(parts).savefig(image, format="png", dpi=120)
    write_atomically(path, image.getvalue())


def draw(parts: Sequence[CrossValidation]) -> "Figure":
    """Every predictor's primary metric: a point for each fold, and their mean; best on top.

    The models of several settings stand in one figure; a baseline that has the same values in all
    of them stands there once.
    """
    metric = parts[0].metrics[0]
    rows = _rows(parts, metric)
    run, folds = parts[0].runs[0], {fold for one in parts for fold in one.folds}
    figure = style.new_figure(
        style.MIN_WIDTH,
        2.2 + sum(0.55 + 0.2 * row.name.count("\n") for row in rows),
        f"{style.name_of(metric)} of {', '.join(run.identity['data.target'])} "
        f"over {count(len(folds), 'fold')}",
        f"{run.folder.resolve().parent.name} · loop={run.identity['loop']} · "
        f"split={run.identity['split.kind']}",
    )
    axes = figure.subplots()
    decimals = max(num_decimals(one, metric) for one in parts)
    for height, row in enumerate(reversed(rows)):
        _draw_row(axes, height, row, mean_text(Mean.of(row.values.values()), decimals, len(folds)))
    beside: Any = {"transform": axes.get_yaxis_transform(), "color": style.GREY, "fontsize": 12}
    axes.text(1.01, len(rows) - 0.4, "mean ± sd", va="bottom", **beside)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    for label, row in zip(axes.get_yticklabels(), reversed(rows), strict=True):
        label.set_fontweight("bold" if row.is_model else "normal")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.margins(x=0.06)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    hint = "in the target's unit; lower is better" if is_error(metric) else "higher is better"
    axes.set_xlabel(f"{style.name_of(metric)} of the test samples ({hint})")
    style.legend_above(figure, [(_sample("o"), "a fold"), (_sample("|"), "mean")])
    return figure


def _rows(parts: Sequence[CrossValidation], metric: str) -> list[_Row]:
    """The best mean first; what differs from setting to setting has it below its name."""
    found: dict[str, list[tuple[str, dict[int, float]]]] = {}
    for one in parts:
        for predictor in one.predictors(metric):
            values = one.scores(predictor, metric)
            kept = found.setdefault(predictor, [])
            is_there = predictor != MODEL and any(values == other for _, other in kept)
            if values and not is_there:
                kept.append((one.label, values))
    run = parts[0].runs[0]
    rows = [
        _Row(
            predictor_name(predictor, run)
            + (f"\n{style.shortened(label)}" if len(kept) > 1 else ""),
            predictor == MODEL,
            values,
        )
        for predictor, kept in found.items()
        for label, values in kept
    ]
    sign = 1 if is_error(metric) else -1
    return sorted(rows, key=lambda row: sign * fmean(row.values.values()))


def _draw_row(axes: "Axes", height: int, row: _Row, text: str) -> None:
    color = style.VERMILLION if row.is_model else style.GREY
    values = list(row.values.values())
    axes.scatter(values, [height] * len(values), s=58, color=color, alpha=0.55, linewidths=0)
    axes.plot([fmean(values)], [height], "|", color=color, markersize=26, markeredgewidth=3.2)
    axes.text(
        1.01,
        height,
        text,
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=13,
        fontweight="bold" if row.is_model else "normal",
    )


def _sample(marker: str) -> "Line2D":
    from matplotlib.lines import Line2D

    size, width = (8, 0) if marker == "o" else (18, 3)
    return Line2D(
        [],
        [],
        linestyle="",
        marker=marker,
        color=style.GREY,
        markersize=size,
        markeredgewidth=width,
    )
