"""All baselines of a run, fitted on its training part.

Shapes: n rows of a part, T columns to predict, C classes.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from aam.baselines.features import Floats
from aam.baselines.forest import RandomForest
from aam.baselines.given import Baseline, CannotFitError, Given, Rows
from aam.baselines.kernels import KernelRidge, KernelSVM
from aam.baselines.linear import ElasticNet, Logistic
from aam.baselines.names import baseline_names
from aam.baselines.neighbours import NearestNeighbours
from aam.baselines.simple import BatchMean, Mean, ReadDepth
from aam.data.targets import CLASSIFICATION, REGRESSION

__all__ = ["FittedBaseline", "Given", "baseline_names", "fit_baselines"]

_log = logging.getLogger(__name__)

_BOTH: dict[str, Callable[[Given], Baseline]] = {
    "read_depth": ReadDepth,
    "random_forest": RandomForest,
    "knn_bray_curtis": partial(NearestNeighbours, metric="bray_curtis"),
    "knn_unifrac": partial(NearestNeighbours, metric="unifrac"),
}
BUILDERS: dict[str, dict[str, Callable[[Given], Baseline]]] = {
    REGRESSION: {
        **_BOTH,
        "mean": Mean,
        "batch_mean": BatchMean,
        "kernel_bray_curtis": partial(KernelRidge, metric="bray_curtis"),
        "kernel_unifrac": partial(KernelRidge, metric="unifrac"),
        "linear_clr": ElasticNet,
    },
    CLASSIFICATION: {
        **_BOTH,
        "majority": Mean,
        "batch_majority": BatchMean,
        "kernel_bray_curtis": partial(KernelSVM, metric="bray_curtis"),
        "kernel_unifrac": partial(KernelSVM, metric="unifrac"),
        "linear_clr": Logistic,
    },
}


@dataclass(frozen=True)
class FittedBaseline:
    """What a baseline says of the samples that it was not fitted on."""

    name: str
    outputs: Mapping[str, Floats]
    """Of ``val`` and ``test``, in the order of the split's rows: ``[n, T]`` in the target's own
    units, or ``[n, C]`` probabilities in the order of ``target.classes``."""


def fit_baselines(given: Given, without: Sequence[str] = ()) -> list[FittedBaseline]:
    """Fit every baseline of the task on the training part alone, and predict the other parts.

    ``without`` names those that are not wanted.

    One that cannot be fitted is left out, and the log says why: none of them is worth a run.
    """
    if given.study.tree is None:
        _log.warning("no tree was given (data.tree): the baselines on UniFrac are left out")
    fitted = []
    names = baseline_names(
        given.target.task, given.batches is not None, given.study.tree is not None
    )
    for name in (name for name in names if name not in without):
        started = time.perf_counter()
        try:
            fitted.append(_fit(name, given))
        except CannotFitError as error:
            _log.warning("the baseline %s is left out: %s", name, error)
        except Exception as error:
            _log.warning(
                "the baseline %s failed and is left out: %s: %s", name, type(error).__name__, error,
                exc_info=True,
            )  # fmt: skip
        _log.info("baseline %s: %.1f s", name, time.perf_counter() - started)
    return fitted


def _fit(name: str, given: Given) -> FittedBaseline:
    task = given.target.task
    baseline = BUILDERS[task][name](given)
    baseline.fit(given.train)
    parts = {"val": given.split.val, "test": given.split.test}
    outputs = {part: _predict(baseline, rows, given) for part, rows in parts.items()}
    return FittedBaseline(name, outputs)


def _predict(baseline: Baseline, rows: Rows, given: Given) -> Floats:
    if not len(rows):
        return np.zeros((0, given.target.num_outputs))
    outputs = baseline.predict(rows)
    if not np.isfinite(outputs).all():
        raise CannotFitError("some of its outputs are not finite")
    return outputs
