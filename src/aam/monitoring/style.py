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
PURPLE = "#CC79A7"
GREY = "#6E6E6E"
EDGE = "#888888"
DARK_GREEN = "#00694C"  # for letters
INK = "#222222"

SPLIT_COLORS = {"train": BLUE, "val": VERMILLION, "test": GREEN}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}

MIN_WIDTH = 12.0

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 14,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": EDGE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 5),  # beyond, a power of ten stands beside the axis
    "axes.unicode_minus": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 13,
    "figure.titlesize": 17,
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.09,
    "svg.hashsalt": "aam",  # the same input gives the same bytes
    "pdf.fonttype": 42,  # letters stay letters: journals ask for it
}

# Of what savefig would write of its own accord, only the time changes from one drawing to the next.
METADATA: dict[str, dict[str, None]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}

NAMES = {
    "total_loss": "Total loss",
    "train_loss": "Training loss",
    "val_loss": "Validation loss",
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
    "suggested_lr": "Suggested rate",
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


def name_of(metric: str, length: int = 24) -> str:
    """How a metric is called in a figure; that of one target column has the column's name, cut."""
    head, _, column = metric.partition("_")
    if column and head in ("mae", "rmse", "r2"):
        return f"{NAMES[head]} of {shortened(column, length)}"
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
    """Draw and save within this style; the settings that were there before come back.

    Those of a ``matplotlibrc`` do not count: a figure is the same wherever it is drawn.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
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
    fontsize = RC["figure.titlesize"]
    fontsize *= min(1.0, (width - 0.3) / width_of(title, fontsize, bold=True))
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
    """Take a logarithmic axis where the losses span more than a factor of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0 or finite.max() < 10 * finite.min():
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
    return count_off(axes, values)


def count_off(axes: "Axes", values: NDArray[np.float64]) -> int:
    """How many values lie above or below the axis."""
    low, high = axes.get_ylim()
    return int(((values < low) | (values > high)).sum())


def legend_above(figure: "Figure", entries: Sequence[tuple[Any, str]]) -> None:
    """Put one legend beside the title, where it covers nothing: the title makes room for it."""
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), handlelength=1.8)
    size = RC["legend.fontsize"]
    # Beside each text are its handle and the gaps around both, in units of the font's size.
    beside = len(labels) * (1.8 + 0.8 + 2.0) * size / 72
    left = figure.get_figwidth() - beside - sum(width_of(label, size) for label in labels) - 0.4
    title = figure.texts[0]  # of new_figure
    title_size = float(title.get_fontsize())
    wide = width_of(title.get_text(), title_size, bold=True)
    title.set_fontsize(title_size * min(1.0, max(0.5, left / wide)))


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is in the figures' font, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family=RC["font.family"], weight="bold" if bold else "normal")
    points = TextPath((0, 0), text, size=size, prop=font).vertices[:, 0]
    return 1.03 * float(np.ptp(points)) / 72  # on a grid of dots, letters are a little wider
