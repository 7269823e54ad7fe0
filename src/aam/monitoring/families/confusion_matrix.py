"""Confusion matrix: how many samples of each class were taken for which.

Shapes: N samples, C classes (rows the true one, columns the predicted one).
"""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aam.monitoring import style
from aam.monitoring.families import layout
from aam.monitoring.families.base import Moments, RunFacts
from aam.monitoring.families.predictions import (
    Classified,
    best_baseline,
    lacks_predictions,
    need_classified,
    target_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 20


class ConfusionMatrix:
    """Heatmap with counts and shares of the row, the scores beside."""

    name: ClassVar[str] = "confusion_matrix"
    kind: ClassVar[str | None] = "classification"
    moments: ClassVar[Moments] = {
        "on_validation_improved": "confusion_matrix_best",
        "on_test_end": "confusion_matrix_test",
    }

    def missing(self, facts: RunFacts) -> str:
        """Need the table of predictions of a classification."""
        return lacks_predictions(facts, "classification")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw the matrix; scores are the facts', the largest class is that of these samples."""
        classified = need_classified(facts)
        names, counts_CC = merged(classified.classes, count(classified))
        side_inches = max(5.0, 0.62 * len(names))
        figure = style.new_figure(
            side_inches + 4.2,
            side_inches + 1.8,
            f"{target_name(facts)} predicted: {facts.split_label}",
            facts.label,
            min_width=8,
        )
        axes, side = figure.subplots(1, 2, width_ratios=[side_inches + 1, 3.0])
        _draw_matrix(axes, names, counts_CC, side_inches / len(names))
        _draw_side(side, facts, classified)
        return figure


def count(classified: Classified) -> NDArray[np.int64]:
    """Counts ``[C, C]``."""
    counts_CC = np.zeros((len(classified.classes),) * 2, dtype=np.int64)
    np.add.at(counts_CC, (classified.true_N, classified.predicted_N), 1)
    return counts_CC


def merged(names: list[str], counts_CC: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
    """Put all but the largest classes into one, so that at most ``MAX_CLASSES`` remain."""
    if len(names) <= MAX_CLASSES:
        return names, counts_CC
    sizes = counts_CC.sum(axis=1)
    kept = np.sort(np.argsort(-sizes, kind="stable")[: MAX_CLASSES - 1])
    place = np.full(len(names), MAX_CLASSES - 1)
    place[kept] = np.arange(MAX_CLASSES - 1)
    smaller = np.zeros((MAX_CLASSES, MAX_CLASSES), dtype=np.int64)
    np.add.at(smaller, (place[:, None], place[None, :]), counts_CC)
    num_others = len(names) - MAX_CLASSES + 1
    return [*(names[index] for index in kept), f"({num_others} other classes)"], smaller


def _draw_matrix(
    axes: "Axes", names: list[str], counts_CC: NDArray[np.int64], cell_inches: float
) -> None:
    rows_C1 = counts_CC.sum(axis=1, keepdims=True)
    share_CC = counts_CC / np.maximum(rows_C1, 1)
    axes.imshow(share_CC, cmap="Blues", vmin=0, vmax=1.15, aspect="equal")
    few = len(names) <= 6
    font = 19.0 if few else 12.0 if len(names) <= 12 else 10.0
    for row, column in np.ndindex(*counts_CC.shape):
        number = counts_CC[row, column]
        if number == 0 and not few:
            continue
        color = "white" if share_CC[row, column] > 0.55 else style.INK
        texts: list[tuple[str, float, Any, dict[str, Any]]] = [
            (f"{number:,}", 1.0, "bottom", {"fontsize": font, "fontweight": "bold"})
        ]
        if rows_C1[row, 0]:
            share = f"{100 * share_CC[row, column]:.0f} %"
            texts.append((share, -2.0, "top", {"fontsize": max(0.68 * font, 7.5)}))
        for text, y, align, look in texts:
            axes.annotate(
                text,
                (column, row),
                xytext=(0, y),
                textcoords="offset points",
                ha="center",
                va=align,
                color=color,
                **look,
            )
    labels = [style.shortened(name, 18) for name in names]
    is_wide = max(style.width_of(label, 12) for label in labels) > 0.85 * cell_inches
    turned: dict[str, Any] = (
        {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_wide else {}
    )
    axes.set_xticks(range(len(names)), labels, fontsize=12, **turned)
    axes.set_yticks(range(len(names)), labels, fontsize=12)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (a row is 100 %)")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    # White lines between the cells.
    between = np.arange(len(names) - 1) + 0.5
    axes.hlines(between, -0.5, len(names) - 0.5, color="white", linewidth=2)
    axes.vlines(between, -0.5, len(names) - 0.5, color="white", linewidth=2)


def _draw_side(side: "Axes", facts: RunFacts, classified: Classified) -> None:
    scores = facts.scores()
    sizes_C = np.bincount(classified.true_N, minlength=len(classified.classes))
    largest = classified.classes[int(sizes_C.argmax())]
    majority = sizes_C.max() / max(sizes_C.sum(), 1)
    rows = [
        ("accuracy", style.score(scores.get("accuracy")), ""),
        ("always the largest class", style.score(majority), style.shortened(largest, 16)),
        ("precision (mean of classes)", style.score(scores.get("precision")), ""),
        ("recall (mean of classes)", style.score(scores.get("recall")), ""),
        ("F1 (mean of classes)", style.score(scores.get("f1")), ""),
        ("samples", f"{classified.true_N.size:,}", ""),
    ]
    baseline = best_baseline(facts)
    if baseline is not None:
        accuracy = facts.baselines(facts.split)[baseline].get("accuracy")
        name = style.baseline_name(baseline)
        rows.insert(1, ("accuracy of the best baseline", style.score(accuracy), name))
    layout.write_numbers(side, rows, size=19, step=54)
