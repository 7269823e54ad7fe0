"""Kernel ridge regression and support vector machines on a distance between samples.

The kernel is ``exp(-(d / s)^2)``, s a multiple of the median distance in the training part.

Shapes: n training samples, q samples to predict, K outputs, c classes trained on, P candidates.
"""

from abc import ABC, abstractmethod
from itertools import product
from typing import ClassVar

import numpy as np

from aam.baselines.features import Floats
from aam.baselines.forest import spread_classes
from aam.baselines.given import CannotFitError, Given, Rows
from aam.baselines.inner import best_candidate, inner_folds, out_of_fold

SCALES = (0.5, 1.0, 2.0)  # s in median distances
ALPHAS = tuple(np.logspace(-3, 1, 9).tolist())
COSTS = (0.1, 1.0, 10.0, 100.0, 1000.0)
LEAST_SLOPE = 1e-3


class _Kernel(ABC):
    """What both have: distances, the grid, and the choice in it."""

    strengths: ClassVar[tuple[float, ...]]
    """The grid of the second hyper-parameter."""

    def __init__(self, given: Given, metric: str) -> None:
        self.given = given
        self.metric = metric

    def _kernels(self, fit: Rows, held: Rows, scale: float) -> tuple[Floats, Floats]:
        """The kernel of the rows to fit ``[n, n]``, and of those held out with them ``[q, n]``."""
        distances_nn = self.distances_NN[np.ix_(fit, fit)]
        middle = float(np.median(distances_nn[np.triu_indices(len(fit), 1)]))
        width = scale * (middle if middle > 0 else 1.0)
        crossed_qn = self.distances_NN[np.ix_(held, fit)]
        return np.exp(-((distances_nn / width) ** 2)), np.exp(-((crossed_qn / width) ** 2))

    def _choose(self, rows: Rows) -> tuple[tuple[float, float], Floats | None]:
        """Scale and strength, and what these give out of fold ``[n, K]``, None without folds."""
        if len(rows) < 2:
            raise CannotFitError("there is one training sample only")
        self.rows = rows
        self.distances_NN = self.given.distances(self.metric)
        candidates = list(product(SCALES, self.strengths))
        folds = [fold for fold in inner_folds(self.given, rows) if len(fold[0]) > 1]
        if not folds:
            return candidates[len(candidates) // 2], None
        outputs_PnK = out_of_fold(
            folds, lambda fit, held: self._candidates(rows[fit], rows[held]), len(rows)
        )
        values_nK = self.given.values[rows]
        best = best_candidate(outputs_PnK, values_nK, self.given.is_classification)
        return candidates[best], outputs_PnK[best]

    def _candidates(self, fit: Rows, held: Rows) -> Floats:
        """Outputs of all candidates ``[P, q, K]``."""
        outputs = []
        for scale in SCALES:
            kernel_nn, kernel_qn = self._kernels(fit, held, scale)
            outputs += [self._outputs(kernel_nn, kernel_qn, fit, each) for each in self.strengths]
        return np.stack(outputs)

    @abstractmethod
    def _outputs(self, kernel_nn: Floats, kernel_qn: Floats, fit: Rows, strength: float) -> Floats:
        """Outputs ``[q, K]`` of one candidate."""


class KernelRidge(_Kernel):
    """Kernel ridge regression, the target centred."""

    strengths = ALPHAS

    def fit(self, rows: Rows) -> None:
        """Choose scale and alpha."""
        (self.scale, self.alpha), _ = self._choose(rows)

    def predict(self, rows: Rows) -> Floats:
        """Outputs by the candidate that was chosen."""
        kernel_nn, kernel_qn = self._kernels(self.rows, rows, self.scale)
        return self._outputs(kernel_nn, kernel_qn, self.rows, self.alpha)

    def _outputs(self, kernel_nn: Floats, kernel_qn: Floats, fit: Rows, strength: float) -> Floats:
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        values_nK = self.given.values[fit]
        mean_K = values_nK.mean(axis=0)
        # The kernel of a distance that is not Euclidean need not be positive definite: alpha grows
        # until it is.
        while True:
            try:
                factor = cho_factor(kernel_nn + strength * np.eye(len(fit)), lower=True)
                break
            except LinAlgError:
                strength *= 2
        outputs_qK: Floats = mean_K + kernel_qn @ cho_solve(factor, values_nK - mean_K)
        return outputs_qK


class KernelSVM(_Kernel):
    """Support vector machine; probabilities by Platt's scaling of each class against the rest.

    The scaling is fitted on decision values out of fold, then the probabilities of the classes are
    divided by their sum. Classes absent from the training part have probability 0.
    """

    strengths = COSTS

    def fit(self, rows: Rows) -> None:
        """Choose scale and cost, then fit the scaling."""
        classes = np.unique(self.given.classes[rows])
        if len(classes) < 2:
            raise CannotFitError("the training part has one class only")
        (self.scale, self.cost), decision_nK = self._choose(rows)
        if decision_nK is None:
            decision_nK = self._decide(rows)
        is_class_nK = self.given.values[rows] > 0
        known_nK = ~np.isnan(decision_nK)
        self.sigmoid_of = {
            k: platt(decision_nK[known_nK[:, k], k], is_class_nK[known_nK[:, k], k])
            for k in classes
        }

    def predict(self, rows: Rows) -> Floats:
        """Probabilities."""
        from scipy.special import expit

        decision_qK = self._decide(rows)
        outputs_qK = np.zeros_like(decision_qK)
        for k, (slope, shift) in self.sigmoid_of.items():
            outputs_qK[:, k] = expit(slope * decision_qK[:, k] + shift)
        scaled_qK: Floats = outputs_qK / outputs_qK.sum(axis=1, keepdims=True)
        return scaled_qK

    def _decide(self, rows: Rows) -> Floats:
        kernel_nn, kernel_qn = self._kernels(self.rows, rows, self.scale)
        return self._outputs(kernel_nn, kernel_qn, self.rows, self.cost)

    def _outputs(self, kernel_nn: Floats, kernel_qn: Floats, fit: Rows, strength: float) -> Floats:
        """Decision values, NaN in the columns of classes that were not fitted."""
        from sklearn.svm import SVC

        machine = SVC(kernel="precomputed", C=strength)
        machine.fit(kernel_nn, self.given.classes[fit])
        decision = machine.decision_function(kernel_qn)
        decision_qc = np.stack([-decision, decision], axis=1) if decision.ndim == 1 else decision
        num_classes = len(self.given.target.classes)
        return spread_classes(decision_qc, machine.classes_, num_classes, absent=np.nan)


def platt(decision_n: Floats, is_class_n: np.ndarray) -> tuple[float, float]:
    """Slope and shift of the logistic curve that turns decision values into probabilities.

    Platt (1999), with his smoothed labels ``(p + 1) / (p + 2)`` and ``1 / (m + 2)`` for p members
    of the class and m others. Values that point the wrong way out of fold are not turned round:
    the slope stays above 0, so that the order of the samples is the machine's.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    num_members = int(is_class_n.sum())
    num_others = len(is_class_n) - num_members
    label_n = np.where(is_class_n, (num_members + 1) / (num_members + 2), 1 / (num_others + 2))
    size = float(np.abs(decision_n).max(initial=0.0)) or 1.0

    def loss(curve: Floats) -> tuple[float, Floats]:
        logit_n = curve[0] * decision_n / size + curve[1]
        error_n = expit(logit_n) - label_n
        value = float((np.logaddexp(0, logit_n) - label_n * logit_n).sum())
        return value, np.array([error_n @ decision_n / size, error_n.sum()])

    start = np.array([LEAST_SLOPE, np.log((num_members + 1) / (num_others + 1))])
    bounds = [(LEAST_SLOPE, None), (None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]) / size, float(found.x[1])
