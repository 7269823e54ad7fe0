"""The figures by which predictions of a target are judged.

Shapes: N samples, T columns, C classes.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aam.data.targets import Target

REGRESSION_METRICS = ("mae", "rmse", "r2")
CLASSIFICATION_METRICS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
PRIMARY = {"regression": "mae", "classification": "auroc"}


def metric_names(target: Target) -> tuple[str, ...]:
    """What :func:`judge` gives for such a target."""
    if target.classes:
        return CLASSIFICATION_METRICS
    columns = [f"{name}_{column}" for column in target.names for name in REGRESSION_METRICS]
    return (*REGRESSION_METRICS, *(columns if len(target.names) > 1 else []))


def judge(
    target: Target, rows: NDArray[np.int64], outputs: NDArray[np.float64]
) -> dict[str, float]:
    """Figures of the outputs ``[n, T]`` (own units) or ``[n, C]`` (probabilities) of some rows."""
    true = target.values[rows]
    if target.classes:
        return classification_metrics(true.astype(np.int64), outputs)
    return regression_metrics(true.astype(np.float64), outputs, target.names)


def regression_metrics(
    true_NT: NDArray[np.float64], predicted_NT: NDArray[np.float64], names: Sequence[str] = ("",)
) -> dict[str, float]:
    """Mean absolute and root mean squared error in the target's unit, and R².

    R² is one minus the squared error over that of the mean of these very samples; NaN where they
    are all equal. Of several columns, each has its own figures and the plain names are the means.
    """
    error_NT = predicted_NT - true_NT
    spread_T = ((true_NT - true_NT.mean(axis=0)) ** 2).mean(axis=0)
    mse_T = (error_NT**2).mean(axis=0)
    r2_T = np.full(len(mse_T), np.nan)
    np.divide(mse_T, spread_T, out=r2_T, where=spread_T > 0)
    columns = {"mae": np.abs(error_NT).mean(axis=0), "rmse": np.sqrt(mse_T), "r2": 1 - r2_T}
    figures = {name: float(values.mean()) for name, values in columns.items()}
    if len(names) > 1:
        for k, column in enumerate(names):
            figures |= {f"{name}_{column}": float(values[k]) for name, values in columns.items()}
    return figures


def classification_metrics(
    true_N: NDArray[np.int64], probability_NC: NDArray[np.float64]
) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro precision, recall and F1, and the area under the ROC.

    The most probable class is the predicted one. With more than two classes the area is the mean
    over the classes, each against the rest (those that are in both parts); NaN with one class only.
    """
    from sklearn.metrics import accuracy_score, balanced_accuracy_score
    from sklearn.metrics import precision_recall_fscore_support as prf

    predicted_N = probability_NC.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are absent here
        precision, recall, f1, _ = prf(true_N, predicted_N, average="macro", zero_division=0)
        balanced = balanced_accuracy_score(true_N, predicted_N)
    return {
        "accuracy": float(accuracy_score(true_N, predicted_N)),
        "balanced_accuracy": float(balanced),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "auroc": _auroc(true_N, probability_NC),
    }


def _auroc(true_N: NDArray[np.int64], probability_NC: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    present = [k for k in range(probability_NC.shape[1]) if 0 < (true_N == k).sum() < len(true_N)]
    if probability_NC.shape[1] == 2:
        present = present[1:]  # one class's area is the other's
    areas = [roc_auc_score(true_N == k, probability_NC[:, k]) for k in present]
    return float(np.mean(areas)) if areas else float("nan")
