"""ROC and precision-recall curves of a classification, computed here with numpy alone.

Shapes: N samples, K thresholds, C classes.
"""

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aam.monitoring import style
from aam.monitoring.families.base import Moments, RunFacts, Values
from aam.monitoring.families.predictions import (
    Classified,
    best_baseline,
    lacks_predictions,
    need_classified,
    read_classified,
    target_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (
    style.BLUE,
    style.VERMILLION,
    style.GREEN,
    style.ORANGE,
    style.SKY,
    style.PURPLE,
    style.BLACK,
)
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)))
# One curve each can still be told apart; of more classes, the largest are drawn.
MAX_CURVES = len(COLORS) * len(LINES)
MAX_BASELINE_CURVES = 4


class Curve(NamedTuple):
    """Both curves of one class against the rest, with the areas under them."""

    false_positive_K: Values
    true_positive_K: Values
    precision_K: Values
    roc_area: float
    average_precision: float


def curves(is_positive_N: NDArray[np.bool_], score_N: Values) -> Curve | None:
    """Curves over all thresholds; None unless there are positives and negatives.

    ROC: the area is that of the trapezoids (ties count half). Precision-recall: the average
    precision, sum of (R_k - R_{k-1}) P_k, which unlike the trapezoids is not too optimistic (Davis
    and Goadrich 2006). Recall is the true positive rate; the curves start at recall 0, where
    precision is 1 by convention.
    """
    num_positive = int(is_positive_N.sum())
    num_negative = is_positive_N.size - num_positive
    if not num_positive or not num_negative:
        return None
    order_N = np.argsort(-score_N, kind="stable")
    ends_K = np.append(np.flatnonzero(np.diff(score_N[order_N])), score_N.size - 1)
    hits_K = np.cumsum(is_positive_N[order_N])[ends_K]
    misses_K = 1 + ends_K - hits_K
    true_positive_K = np.append(0.0, hits_K / num_positive)
    false_positive_K = np.append(0.0, misses_K / num_negative)
    precision_K = np.append(1.0, hits_K / (hits_K + misses_K))
    steps_K = np.diff(true_positive_K)
    middle_K = (true_positive_K[1:] + true_positive_K[:-1]) / 2
    return Curve(
        false_positive_K,
        true_positive_K,
        precision_K,
        float((np.diff(false_positive_K) * middle_K).sum()),
        float((steps_K * precision_K[1:]).sum()),
    )


def curves_of(classified: Classified) -> dict[str, Curve]:
    """A curve for each class against the rest, of two classes for the second one alone.

    Classes that are absent, or that all samples have, have none. Samples without finite
    probabilities are left out.
    """
    finite_N = np.isfinite(classified.probability_NC).all(axis=1)
    true_N, probability_NC = classified.true_N[finite_N], classified.probability_NC[finite_N]
    first = 1 if len(classified.classes) == 2 else 0
    found = {
        name: curves(true_N == index, probability_NC[:, index])
        for index, name in enumerate(classified.classes[first:], first)
    }
    return {name: curve for name, curve in found.items() if curve is not None}


class RocPr:
    """ROC on the left, precision-recall on the right."""

    name: ClassVar[str] = "roc_pr"
    kind: ClassVar[str | None] = "classification"
    moments: ClassVar[Moments] = {
        "on_validation_improved": "roc_pr_best",
        "on_test_end": "roc_pr_test",
    }

    def missing(self, facts: RunFacts) -> str:
        """Need the table of predictions of a classification."""
        return lacks_predictions(facts, "classification")

    def draw(self, facts: RunFacts) -> "Figure":
        """Draw a curve for each class that can have one, the best baseline's faint."""
        classified = need_classified(facts)
        of_all = curves_of(classified)
        of_model = _largest(classified, of_all)
        baseline = best_baseline(facts)
        beside = read_classified(facts, baseline) if baseline else None
        of_baseline = curves_of(beside) if beside else {}
        num_wide = 15.4 if len(of_model) > 1 else 14.6
        title = f"{target_name(facts)} predicted: {facts.split_label}"
        figure = style.new_figure(num_wide, 6.6, title, facts.label)
        roc, precision, side = figure.subplots(1, 3, width_ratios=[1, 1, 0.62])
        _prepare(roc, "ROC", "false positive rate", "true positive rate (recall)")
        _prepare(precision, "Precision-recall", "recall", "precision")
        side.axis("off")
        if not of_model:
            _say_no_curve(roc, precision, classified)
            return figure
        is_binary = len(classified.classes) == 2
        few = is_binary or len(of_model) <= MAX_BASELINE_CURVES
        for index, (name, curve) in enumerate(of_model.items()):
            look = {"color": COLORS[index % len(COLORS)], "linestyle": LINES[index // len(COLORS)]}
            if few:
                _draw_chance(
                    precision, classified, name, style.GREY if is_binary else look["color"]
                )
            _draw_curve(roc, precision, curve, **look, label=_label(name, curve, few, is_binary))
        if not is_binary:
            roc.plot([], [], alpha=0, label=f"mean of {len(of_all)} classes\n{_mean_areas(of_all)}")
        roc.plot([0, 1], [0, 1], **CHANCE, color=style.GREY)
        if baseline is not None and of_baseline:
            _draw_baseline(roc, precision, of_model, of_baseline, baseline, few)
        roc.plot([], [], **CHANCE, color=style.GREY, label="chance")
        _draw_legend(side, roc, classified, of_model, is_binary)
        return figure


CHANCE: dict[str, Any] = {"linestyle": (0, (2, 2)), "linewidth": 1.4, "zorder": 1.7}


def _largest(classified: Classified, of_all: dict[str, Curve]) -> dict[str, Curve]:
    sizes = np.bincount(classified.true_N, minlength=len(classified.classes))
    by_size = sorted(of_all, key=lambda name: -sizes[classified.classes.index(name)])
    return {name: curve for name, curve in of_all.items() if name in by_size[:MAX_CURVES]}


def _prepare(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _draw_curve(roc: "Axes", precision: "Axes", curve: Curve, **look: Any) -> None:
    roc.plot(curve.false_positive_K, curve.true_positive_K, **look)
    precision.step(curve.true_positive_K, curve.precision_K, where="pre", **look)


def _draw_chance(precision: "Axes", classified: Classified, name: str, color: str) -> None:
    """Whoever guesses has the share of the class as precision, at any recall."""
    share = float((classified.true_N == classified.classes.index(name)).mean())
    precision.axhline(share, **CHANCE, color=color)


def _draw_baseline(
    roc: "Axes",
    precision: "Axes",
    of_model: dict[str, Curve],
    of_baseline: dict[str, Curve],
    baseline: str,
    few: bool,
) -> None:
    """Thin curves in the colours of the model's; of many classes the mean areas alone."""
    faint: dict[str, Any] = {"linewidth": 1.3, "alpha": 0.55, "zorder": 1.8}
    for index, name in enumerate(of_model):
        if few and name in of_baseline:
            color = style.BLACK if len(of_model) == 1 else COLORS[index]
            _draw_curve(roc, precision, of_baseline[name], color=color, **faint)
    head = f"best baseline{' (thin)' if few else ''}{', mean' if len(of_baseline) > 1 else ''}"
    label = f"{head}:\n{style.baseline_name(baseline)}\n{_mean_areas(of_baseline)}"
    roc.plot([], [], color=style.BLACK, **(faint if few else {"alpha": 0}), label=label)


def _mean_areas(curves: dict[str, Curve]) -> str:
    roc_area = np.mean([curve.roc_area for curve in curves.values()])
    average = np.mean([curve.average_precision for curve in curves.values()])
    return f"ROC {roc_area:.3f}   PR {average:.3f}"


def _label(name: str, curve: Curve, few: bool, is_binary: bool) -> str:
    if not few:
        shown = style.shortened(name, 16)
        return f"{shown}   {curve.roc_area:.2f} / {curve.average_precision:.2f}"
    shown = "model" if is_binary else style.shortened(name, 22)
    return f"{shown}\nROC {curve.roc_area:.3f}   PR {curve.average_precision:.3f}"


def _draw_legend(
    side: "Axes",
    roc: "Axes",
    classified: Classified,
    of_model: dict[str, Curve],
    is_binary: bool,
) -> None:
    """Say what the curves are of, and their areas."""
    num_left_out = len(classified.classes) - len(of_model)
    if is_binary:
        (positive,) = of_model
        head = f"Area under the curves;\npositive: {style.shortened(positive, 22)}"
    else:
        head = "Area under the curves (ROC, PR);\neach class against the rest"
        head += f";\n{num_left_out} classes are not drawn" if num_left_out else ""
    many = len(of_model) > 12
    side.text(-0.06, 1.0, head, va="top", fontsize=12, color=style.GREY)
    side.legend(
        *roc.get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(-0.12, 0.9 - (0.05 if num_left_out and not is_binary else 0)),
        labelspacing=0.25 if many else 0.8,
        fontsize=10 if many else 12,
    )


def _say_no_curve(roc: "Axes", precision: "Axes", classified: Classified) -> None:
    held = [classified.classes[index] for index in np.unique(classified.true_N)]
    why = (
        f"all {classified.true_N.size} samples are\n{style.shortened(held[0], 24)}"
        if len(held) == 1
        else "no finite probabilities"
    )
    for axes in (roc, precision):
        axes.text(0.5, 0.5, f"no curve:\n{why}", ha="center", va="center", fontsize=15)
