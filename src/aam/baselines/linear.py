"""Linear models on standardised centred log-ratios.

Shapes: n training samples, q samples to predict, A ASVs kept, T columns, K outputs, P candidates.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from aam.baselines.features import Floats, centred_log_ratios
from aam.baselines.forest import spread_classes
from aam.baselines.given import CannotFitError, Given, Rows
from aam.baselines.inner import Fold, best_candidate, inner_folds, out_of_fold

LEAST_PREVALENCE = 3  # training samples that hold an ASV; of fewer nothing can be learned
L1_RATIOS = (0.1, 0.9)
SHARES_OF_ALPHA = np.logspace(0, -3, 15)  # of the least alpha at which all coefficients are 0
COSTS = np.logspace(-5, 1, 7)
TOLERANCE, MOST_STEPS = 1e-3, 500
EXACT = 1e-12


@contextmanager
def _stopped_early() -> Iterator[None]:
    """A candidate that has not converged after ``MOST_STEPS`` is judged out of fold as it is."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


class _Linear:
    """What both have: the features, which the training part alone decides."""

    def __init__(self, given: Given) -> None:
        self.given = given

    def _fit_features(self, rows: Rows) -> Floats:
        """Features of the training part ``[n, A]``, mean 0 and standard deviation 1."""
        self.asvs = self.given.seen_asvs(rows, LEAST_PREVALENCE)
        if not len(self.asvs):
            raise CannotFitError(f"no ASV is in {LEAST_PREVALENCE} training samples")
        ratios_nA = self._ratios(rows)
        self.mean_A, scale_A = ratios_nA.mean(axis=0), ratios_nA.std(axis=0)
        self.scale_A = np.where(scale_A > 0, scale_A, 1.0)
        return self._features(rows)

    def _features(self, rows: Rows) -> Floats:
        features_qA: Floats = (self._ratios(rows) - self.mean_A) / self.scale_A
        return features_qA

    def _ratios(self, rows: Rows) -> Floats:
        return centred_log_ratios(self.given.study.counts[rows][:, self.asvs])


class ElasticNet(_Linear):
    """Elastic net (Zou and Hastie 2005), each column of the target by itself."""

    def fit(self, rows: Rows) -> None:
        """Choose mixture and strength of the penalty for each column, out of fold."""
        features_nA = self._fit_features(rows)
        folds = inner_folds(self.given, rows)
        self.lines = [
            _fit_column(features_nA, values_n, folds) for values_n in self.given.values[rows].T
        ]

    def predict(self, rows: Rows) -> Floats:
        """Outputs of the candidates that were chosen."""
        features_qA = self._features(rows)
        return np.stack([features_qA @ slope_A + shift for slope_A, shift in self.lines], axis=1)


def _fit_column(
    features_nA: Floats, values_n: Floats, folds: Sequence[Fold]
) -> tuple[Floats, float]:
    """Slopes ``[A]`` and shift of the best candidate."""

    def predict(fit: Rows, held: Rows) -> Floats:
        slopes_PA, shifts_P = _paths(features_nA[fit], values_n[fit])
        return (slopes_PA @ features_nA[held].T + shifts_P[:, None])[:, :, None]

    slopes_PA, shifts_P = _paths(features_nA, values_n)
    best = len(shifts_P) // 2
    if folds:
        outputs_PnK = out_of_fold(folds, predict, len(values_n))
        best = best_candidate(outputs_PnK, values_n[:, None], is_classification=False)
    return slopes_PA[best], float(shifts_P[best])


def _paths(features_nA: Floats, values_n: Floats) -> tuple[Floats, Floats]:
    """Slopes ``[P, A]`` and shifts ``[P]`` of all candidates, from the strongest penalty down."""
    from sklearn.linear_model import enet_path

    mean_A, mean = features_nA.mean(axis=0), values_n.mean()
    centred_nA = np.asfortranarray(features_nA - mean_A)
    pull = float(np.abs(centred_nA.T @ (values_n - mean)).max()) / len(values_n)
    if pull <= EXACT * (1 + abs(mean)):  # a constant target: nothing to explain
        num_candidates = len(L1_RATIOS) * len(SHARES_OF_ALPHA)
        return np.zeros((num_candidates, len(mean_A))), np.full(num_candidates, mean)
    slopes = []
    for l1_ratio in L1_RATIOS:
        with _stopped_early():
            _, slopes_AP, _ = enet_path(
                centred_nA,
                values_n - mean,
                l1_ratio=l1_ratio,
                alphas=SHARES_OF_ALPHA * pull / l1_ratio,
                tol=TOLERANCE,
                max_iter=MOST_STEPS,
            )
        slopes.append(slopes_AP.T)
    slopes_PA = np.stack(slopes, axis=1).reshape(-1, len(mean_A))
    return slopes_PA, mean - slopes_PA @ mean_A


class Logistic(_Linear):
    """Multinomial logistic regression with an L2 penalty."""

    def fit(self, rows: Rows) -> None:
        """Choose the strength of the penalty, out of fold."""
        classes_n = self.given.classes[rows]
        if np.ptp(classes_n) == 0:
            raise CannotFitError("the training part has one class only")
        features_nA = self._fit_features(rows)

        def candidates(fit: Rows, held: Rows) -> Floats:
            return np.stack(
                [
                    self._probabilities(
                        _fit_logistic(features_nA[fit], classes_n[fit], cost), features_nA[held]
                    )
                    for cost in COSTS
                ]
            )

        best = len(COSTS) // 2
        if folds := inner_folds(self.given, rows):
            outputs_PnK = out_of_fold(folds, candidates, len(rows))
            best = best_candidate(outputs_PnK, self.given.values[rows], is_classification=True)
        self.model = _fit_logistic(features_nA, classes_n, COSTS[best])

    def predict(self, rows: Rows) -> Floats:
        """Probabilities."""
        return self._probabilities(self.model, self._features(rows))

    def _probabilities(self, model: Any, features_qA: Floats) -> Floats:
        num_classes = len(self.given.target.classes)
        outputs_qc = model.predict_proba(features_qA)
        return spread_classes(outputs_qc, model.classes_, num_classes, absent=0.0)


def _fit_logistic(features_nA: Floats, classes_n: Rows, cost: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    with _stopped_early():
        return LogisticRegression(C=cost, tol=TOLERANCE, max_iter=MOST_STEPS).fit(
            features_nA, classes_n
        )
