"""One look for all figures: colours, fonts, names, legends.

Colours are those of Okabe and Ito, told apart with any colour vision. Sizes are chosen for a figure
shown in a talk.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREY = "#6E6E6E"

SPLIT_COLORS = {"train": BLUE, "val": VERMILLION, "test": GREEN}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}

MIN_WIDTH = 11.6

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 13,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 12,
    "figure.titlesize": 17,
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.09,
    "svg.hashsalt": "aam",  # the same input gives the same bytes
}

# Of what savefig would write of its own accord, only the time changes from one drawing to the next.
METADATA: dict[str, dict[str, None]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}

NAMES = {
    "total_loss": "Total loss",
    "unifrac_loss": "UniFrac loss",
    "unifrac_r2": "UniFrac R²",
    "unifrac_mae": "UniFrac MAE",
    "unifrac_spearman": "UniFrac Spearman",
    "nuc_loss": "Nucleotide loss",
    "nuc_accuracy": "Nucleotide accuracy",
    "target_loss": "Target loss",
    "count_loss": "Count loss",
    "faith_pd_loss": "Faith's PD loss",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "f1": "F1",
    "auroc": "AUROC",
    "grad_norm": "Gradient norm",
    "lr": "Learning rate",
}

BASELINE_NAMES = {
    "mean": "training mean",
    "majority": "majority class",
    "batch_mean": "mean of the batch",
    "batch_majority": "majority of the batch",
    "read_depth": "read depth alone",
    "knn_bray_curtis": "k-NN on Bray-Curtis",
    "knn_unifrac": "k-NN on UniFrac",
    "kernel_bray_curtis": "kernel on Bray-Curtis",
    "kernel_unifrac": "kernel on UniFrac",
    "linear_clr": "linear model on CLR",
}


def name_of(metric: str) -> str:
    """How a metric is called in a figure; that of one target column keeps the column's name."""
    head, _, column = metric.partition("_")
    if column and head in ("mae", "rmse", "r2"):
        return f"{NAMES[head]} of {shortened(column, 24)}"
    return NAMES.get(metric) or metric.replace("_", " ").capitalize()


def baseline_name(baseline: str) -> str:
    """How a baseline is called in a figure or a sentence, after "the"."""
    return BASELINE_NAMES.get(baseline) or baseline.replace("_", " ")


def shortened(text: str, length: int = 36) -> str:
    """Cut a long name in its middle, where names of one file differ least often."""
    if len(text) <= length:
        return text
    end = (length - 1) // 3
    return f"{text[: length - 1 - end]}…{text[len(text) - end :]}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number in so many significant digits, whole ones in full: 0.0123, 92.1, 12346."""
    if value is None or not np.isfinite(value):
        return "not defined"
    size = int(np.floor(np.log10(abs(value)))) if value else 0
    return f"{value:.2e}" if size < -4 or size > 6 else f"{value:.{max(0, digits - 1 - size)}f}"


def score(value: float | None) -> str:
    """A score between 0 and 1."""
    return "not defined" if value is None or not np.isfinite(value) else f"{value:.3f}"


@contextmanager
def applied() -> Iterator[None]:
    """Draw and save within this style; the settings that were there before come back."""
    import matplotlib

    with matplotlib.rc_context(RC):
        yield


def new_figure(
    width: float, height: float, title: str, subtitle: str, *, min_width: float = MIN_WIDTH
) -> "Figure":
    """Make a figure (inches) with a title and, in small print below, what it was drawn from.

    It is never so narrow that title and legend, side by side, would run into each other; one
    without a legend beside the title may be (``min_width``).
    """
    from matplotlib.figure import Figure

    width = max(width, min_width)
    figure = Figure(figsize=(width, height), layout="constrained")
    # A bold letter is 0.65 of the font's size wide, and an inch has 72 points.
    fontsize = min(RC["figure.titlesize"], 72 * width / (0.65 * len(title)))
    figure.suptitle(title, x=0.012, ha="left", fontweight="bold", fontsize=fontsize)
    figure.supxlabel(subtitle, x=0.012, ha="left", fontsize=10, color=GREY)
    return figure


def epoch_axis(axes: "Axes", num_epochs: int) -> None:
    """Label an axis of epochs, which count from 1, with whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlim(0.5, max(num_epochs, 2) + 0.5)
    axes.margins(y=0.08)


def loss_scale(axes: "Axes", values: NDArray[np.float64]) -> None:
    """Take a logarithmic axis where the losses span more than a factor of twenty."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0 or finite.max() < 20 * finite.min():
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def focus(axes: "Axes", values: NDArray[np.float64]) -> int:
    """Keep a few extreme values from flattening all others; return how many lie off the axis."""
    finite = values[np.isfinite(values)]
    if finite.size < 8:
        return 0
    low, high = np.percentile(finite, [10, 90])
    room = 1.5 * (high - low)
    inside = (finite >= low - room) & (finite <= high + room)
    if high == low or inside.all():
        return 0
    kept = finite[inside]
    margin = 0.08 * (kept.max() - kept.min())
    axes.set_ylim(kept.min() - margin, kept.max() + margin)
    return int((~inside).sum())


def write_numbers(
    axes: "Axes", rows: Sequence[tuple[str, str, str]], size: float = 21, step: float = 62
) -> None:
    """Fill an empty panel with large numbers: name above, value, note beside (``step`` points)."""
    axes.axis("off")
    for row, (name, value, note) in enumerate(rows):
        beside = 0.72 * size * len(value) + 4  # digits are 0.7 of the size wide
        texts: list[tuple[str, float, float, dict[str, Any]]] = [
            (name, 0.0, 0.0, {"color": GREY, "fontsize": 12.5}),
            (value, 0.0, -18.0, {"fontsize": size, "fontweight": "bold"}),
            (note, beside, -22.0, {"color": GREY, "fontsize": 11}),
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


def legend_above(figure: "Figure", entries: Sequence[tuple[Any, str]]) -> None:
    """Put one legend beside the title, where it covers nothing."""
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), handlelength=1.8)
