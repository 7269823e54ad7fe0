"""The numbers of a cross-validation: means over folds, and the model against its baselines."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from aam.facts.tables import numbers
from aam.monitoring.folds.runs import METRICS, MODEL, FoldRun
from aam.monitoring.scores import is_error
from aam.monitoring.spread import Interval, Mean, corrected_interval


@dataclass(frozen=True)
class Difference:
    """The model minus a baseline, fold by fold, in one metric.

    ``interval`` is :func:`aam.monitoring.spread.corrected_interval` of the mean difference. The
    baseline is the best of several, chosen with the test samples in view, which favours it.
    """

    baseline: str
    metric: str
    by_fold: dict[int, float]
    mean: Mean
    interval: Interval | None

    @property
    def is_better(self) -> bool:
        """Whether the model's mean is the better one."""
        return _is_better(self.metric, self.mean.mean)

    @property
    def num_better(self) -> int:
        """In how many folds the model is better."""
        return sum(_is_better(self.metric, value) for value in self.by_fold.values())

    @property
    def is_beyond(self) -> bool:
        """Whether the difference is beyond the spread of the folds: the interval excludes zero."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@dataclass(frozen=True)
class CrossValidation:
    """The runs of one setting, by fold; ``setting`` has what others beside it have otherwise."""

    setting: dict[str, str]
    runs: list[FoldRun]

    @property
    def label(self) -> str:
        """``loop.head=mlp, optimizer.lr=0.001``; empty where there is one setting only."""
        return ", ".join(f"{key}={value}" for key, value in self.setting.items())

    @property
    def folds(self) -> list[int]:
        """The folds that are there."""
        return [run.fold for run in self.runs]

    @property
    def metrics(self) -> list[str]:
        """What the model has in some fold, in the order in which one judges by it."""
        found = {name for run in self.runs for name in run.scores[MODEL]}
        task = METRICS[self.runs[0].identity["task"]]
        return [name for name in task if name in found] + sorted(found - set(task))

    def scores(self, predictor: str, metric: str) -> dict[int, float]:
        """Value by fold, where it is defined."""
        values = {run.fold: run.scores.get(predictor, {}).get(metric) for run in self.runs}
        return {fold: value for fold, value in values.items() if value is not None}

    def predictors(self, metric: str) -> list[str]:
        """The model and every baseline, best mean first; those without a value last."""
        names = {name: None for run in self.runs for name in run.scores}
        means = {name: Mean.of(self.scores(name, metric).values()) for name in names}
        sign = 1 if is_error(metric) else -1
        # The model first among equals, which makes the order one of the facts, not of the runs.
        order = {
            name: (sign * mean.mean if mean else math.inf, name != MODEL, name)
            for name, mean in means.items()
        }
        return sorted(order, key=order.__getitem__)

    def difference(self, metric: str) -> Difference | None:
        """The model minus the best baseline of those that have every fold that the model has.

        None where there is no such baseline.
        """
        ours = self.scores(MODEL, metric)
        for baseline in self.predictors(metric):
            theirs = self.scores(baseline, metric)
            if baseline == MODEL or not ours or not ours.keys() <= theirs.keys():
                continue
            by_fold = {fold: value - theirs[fold] for fold, value in ours.items()}
            mean = Mean.of(by_fold.values())
            assert mean is not None
            sizes = [run.train_test for run in self.runs if run.fold in by_fold]
            ratio = fmean(test / train for train, test in sizes)
            return Difference(baseline, metric, by_fold, mean, corrected_interval(mean, ratio))
        return None

    def pooled_r2(self, predictor: str) -> float | None:
        """R² over the out-of-fold predictions of all folds together, of a single numeric target.

        Unlike the mean over folds it has one and the same total spread for all of them, and stands
        where folds are too small for an R² of their own. None where it is not defined.
        """
        tables = [_predictions(run, predictor) for run in self.runs]
        if self.runs[0].identity["task"] != "regression" or not all(
            {"true", "predicted"} <= table.keys() for table in tables
        ):
            return None
        true = [value for table in tables for value in numbers(table["true"])]
        predicted = [value for table in tables for value in numbers(table["predicted"])]
        centre = fmean(true)
        total = sum((value - centre) ** 2 for value in true)
        rest = sum((p - t) ** 2 for p, t in zip(predicted, true, strict=True))
        return 1 - rest / total if total > 0 and math.isfinite(rest) else None


def summary_columns(parts: Sequence[CrossValidation]) -> dict[str, list[Any]]:
    """Columns of ``cross_validation.tsv``: a row for each predictor and metric, best first.

    ``pooled`` is no mean over folds: see :meth:`CrossValidation.pooled_r2`. Several settings are
    told apart by a first column ``setting``.
    """
    folds = sorted({fold for one in parts for fold in one.folds})
    rows: list[dict[str, Any]] = []
    for one in parts:
        for metric in one.metrics:
            for predictor in one.predictors(metric):
                by_fold = one.scores(predictor, metric)
                mean = Mean.of(by_fold.values())
                rows.append(
                    {
                        "setting": one.label,
                        "predictor": predictor,
                        "metric": metric,
                        "mean": mean.mean if mean else None,
                        "sd": mean.sd if mean else None,
                        "num_folds": len(by_fold),
                        "pooled": one.pooled_r2(predictor) if metric == "r2" else None,
                        **{f"fold_{fold}": by_fold.get(fold) for fold in folds},
                    }
                )
    names = [name for name in rows[0] if name != "setting" or len(parts) > 1]
    return {name: [row[name] for row in rows] for name in names}


def out_of_fold_columns(parts: Sequence[CrossValidation]) -> dict[str, list[Any]]:
    """Columns of ``out_of_fold.tsv``: every test prediction of the model, with its fold.

    ``fold`` counts as ``split.fold`` does, through all repeats. Several settings are told apart by
    a first column ``setting``.
    """
    columns: dict[str, list[Any]] = defaultdict(list)
    for one in parts:
        for run in one.runs:
            num_samples = len(run.predictions["sample-id"])
            table: dict[str, list[Any]] = {
                "setting": [one.label] * num_samples,
                "sample-id": run.predictions["sample-id"],
                "repeat": [run.repeat] * num_samples,
                "fold": [run.fold] * num_samples,
                **run.predictions,
            }
            for name, values in table.items():
                columns[name] += values
    if len(parts) == 1:
        del columns["setting"]
    return columns


def _is_better(metric: str, difference: float) -> bool:
    return difference < 0 if is_error(metric) else difference > 0


def _predictions(run: FoldRun, predictor: str) -> Mapping[str, list[str]]:
    if predictor == MODEL:
        return run.predictions
    table = run.baseline_predictions
    rows = [row for row, name in enumerate(table.get("baseline", ())) if name == predictor]
    return {name: [column[row] for row in rows] for name, column in table.items() if rows}
