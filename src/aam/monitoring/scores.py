"""Scores of a model and of its baselines, as the facts name them: ``mae``, ``baseline_mean_mae``.

One place decides which score of a task counts, and which of two values is the better one.
"""

import math
from collections.abc import Iterable, Mapping

Scores = Mapping[str, float | None]

# The score that ranks models (``aam.losses.metrics.PRIMARY``, which is out of reach here).
PRIMARY = {"regression": "mae", "classification": "auroc"}
# Without a target, a model is judged by the distances that it was pretrained to tell.
OF_PRETRAINING = "unifrac_r2"
_PREFIX = "baseline_"
_OF_COLUMNS = ("mae", "rmse", "r2")


def is_baseline(name: str) -> bool:
    """Whether a metric is that of a baseline, not of the model."""
    return name.startswith(_PREFIX)


def is_of_column(metric: str) -> bool:
    """Whether it is the score of one of several target columns: ``mae_NAME``."""
    return metric.startswith(tuple(f"{name}_" for name in _OF_COLUMNS))


def is_loss(metric: str) -> bool:
    """Whether it is a loss, and no score of a target column such as ``weight_loss``."""
    return metric.endswith("_loss") and not is_of_column(metric)


def is_error(metric: str) -> bool:
    """Whether smaller is better: ``mae``, ``rmse_NAME``, ``unifrac_mae`` and losses."""
    of_column = metric.split("_")[0]
    return of_column in ("mae", "rmse") or metric == "unifrac_mae" or is_loss(metric)


def of_model(metrics: Scores) -> dict[str, float | None]:
    """The metrics without those of baselines."""
    return {name: value for name, value in metrics.items() if not is_baseline(name)}


def of_baselines(metrics: Scores, known: Iterable[str]) -> dict[str, dict[str, float | None]]:
    """Metrics of each baseline, by its name, in order of appearance.

    ``known`` are the model's metrics: only they tell whether ``baseline_x_balanced_accuracy`` is
    the accuracy of ``x_balanced`` or the balanced accuracy of ``x`` (the longest one that fits).
    """
    longest_first = sorted(known, key=len, reverse=True)
    found: dict[str, dict[str, float | None]] = {}
    for key, value in metrics.items():
        name = key.removeprefix(_PREFIX)
        metric = next((one for one in longest_first if name.endswith(f"_{one}")), None)
        if is_baseline(key) and metric is not None:
            found.setdefault(name.removesuffix(f"_{metric}"), {})[metric] = value
    return found


def ranked(values: Scores, metric: str) -> list[str]:
    """Names by their value of a metric, the best first; those without a finite value last."""

    def place(name: str) -> tuple[bool, float]:
        value = values[name]
        if value is None or not math.isfinite(value):
            return (True, 0.0)
        return (False, value if is_error(metric) else -value)

    return sorted(values, key=place)


def best_of(values: Scores, metric: str) -> str | None:
    """Name of the best value; None if none is finite."""
    finite = {
        name: value for name, value in values.items() if value is not None and math.isfinite(value)
    }
    return ranked(finite, metric)[0] if finite else None
